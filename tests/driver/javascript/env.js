/**
 * What every scenario gets: a driver, a tag for its own data, two more users.
 * Results may hold only what must be equal directly and through a pooler.
 */
'use strict'
const crypto = require('crypto')
// The driver is unchanged and lives in the cache, one folder for each version.
const neo4j = require(require('path').join(process.env.DRIVER_MODULES, 'neo4j-driver'))

const scenarios = {}

class Env {
  constructor (uri, user, password) {
    this.uri = uri
    this.user = user
    this.auth = neo4j.auth.basic(user, password)
    this.tag = 'T' + crypto.randomBytes(5).toString('hex')
    this.driver = this.open()
    this.names = ['alice', 'bob', 'wrong'].map(name => name + this.tag.toLowerCase())
    this.password = 'somepass1'
  }

  async start () {
    await this.system(...this.names.map(name => `CREATE USER ${name} SET PASSWORD '${this.password}' CHANGE NOT REQUIRED`))
    const info = await this.driver.getServerInfo()
    this.protocol = Number(info.protocolVersion.major ?? info.protocolVersion)
    this.serverMajor = Number(info.agent.split('/')[1].split('.')[0])
  }

  async done () {
    await this.system(...this.names.map(name => `DROP USER ${name} IF EXISTS`))
    await this.driver.close()
  }

  open (auth, config = {}, uri = this.uri) {
    return neo4j.driver(uri, auth ?? this.auth, { useBigInt: true, ...config })
  }

  login (name) { return neo4j.auth.basic(name, this.password) }

  async with (driver, work) { try { return await work(driver) } finally { await driver.close() } }

  /** A session that is closed when `work` ends, whatever happens. */
  async session (work, config = {}, driver = this.driver) {
    const session = driver.session({ database: 'neo4j', ...config })
    try { return await work(session) } finally { await session.close() }
  }

  async system (...queries) {
    await this.session(async s => { for (const query of queries) await s.run(query) }, { database: 'system' })
  }

  /** Auto-commit, all rows as arrays. */
  async run (query, parameters = {}) {
    return this.session(async s => rows(await s.run(query, parameters)))
  }

  async count () { return (await this.run(`MATCH (n:${this.label}) RETURN count(n)`))[0][0] }

  withScheme (scheme) { return this.uri.replace(/^[a-z0-9]+/, scheme) }

  clean (text) { return text.replace(new RegExp(this.tag, 'gi'), 'TAG').replace(/\d+/g, '#') }

  /** What an application can tell from an error, less names made for this run. */
  error (caught) {
    return {
      name: caught.name,
      code: caught.code,
      message: caught.code === 'ServiceUnavailable' || caught.code === 'SessionExpired' ? '' : this.clean(caught.message),
      retryable: caught.retriable ?? caught.retryable,
      gql: caught.gqlStatus,
      classification: caught.classification,
      cause: caught.cause?.gqlStatus
    }
  }

  async raises (work) {
    let result
    try { result = await work() } catch (caught) { return this.error(caught) }
    throw new Error('no error but ' + result)
  }
}

function check (condition, what = 'check failed') { if (!condition) throw new Error(what) }
function rows (result) { return result.records.map(record => record._fields) }
function range (n) { return [...Array(n).keys()] }
function sleep (ms) { return new Promise(resolve => setTimeout(resolve, ms)) }

module.exports = { neo4j, scenarios, Env, check, rows, range, sleep }
