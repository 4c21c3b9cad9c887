/**
 * Writes unique ids in managed transactions with the JavaScript driver, as many at once as there are workers.
 *
 * usage: DRIVER_MODULES=... node load.js URI USER PASSWORD LABEL FIRST COUNT WORKERS RETRY_SECONDS
 *
 * Prints {"ok": [ids], "failed": [[id, type, text]]}; see tests/driver/go/load for why
 * nodes hold the number of the attempt.
 */
'use strict'
const neo4j = require(require('path').join(process.env.DRIVER_MODULES, 'neo4j-driver'))

async function main () {
  const [uri, user, password, label, ...numbers] = process.argv.slice(2)
  const [first, count, workers, retry] = numbers.map(Number)
  const driver = neo4j.driver(uri, neo4j.auth.basic(user, password), {
    maxConnectionPoolSize: workers, maxTransactionRetryTime: retry * 1000, connectionAcquisitionTimeout: 300000, disableLosslessIntegers: true
  })
  const ok = []
  const failed = []
  let next = first

  async function work () {
    while (next < first + count) {
      const id = next++
      let attempt = 0
      const session = driver.session({ database: 'neo4j' })
      try {
        await session.executeWrite(tx => tx.run(`CREATE (:${label} {id: $id, attempt: $attempt})`, { id: neo4j.int(id), attempt: neo4j.int(++attempt) }))
        ok.push(id)
      } catch (caught) {
        failed.push([id, caught.code, caught.message])
      } finally {
        await session.close().catch(() => {})
      }
    }
  }

  await Promise.all([...Array(workers)].map(work))
  await driver.close()
  process.stdout.write(JSON.stringify({ ok, failed }))
}

main().catch(caught => { console.error(caught); process.exit(1) })
