/**
 * Runs the shared scenarios with the official JavaScript driver.
 *
 * usage: DRIVER_MODULES=.../node_modules node runner.js URI USER PASSWORD [--only REGEX] [--times]
 *
 * Prints one JSON object {scenario: result}; a scenario that fails by itself
 * has the result {"!": "what happened"}. For bolt+s set NODE_EXTRA_CA_CERTS.
 */
'use strict'
const { Env, scenarios } = require('./env')
require('./values')
require('./work')
require('./errors')
require('./summaries')

async function main () {
  const [uri, user, password, ...options] = process.argv.slice(2)
  const only = new RegExp(options.includes('--only') ? options[options.indexOf('--only') + 1] : '')
  const env = new Env(uri, user, password)
  await env.start()
  const found = {}
  for (const [name, scenario] of Object.entries(scenarios)) {
    if (!only.test(name)) continue
    env.label = `${env.tag}_${name}`
    const began = Date.now()
    try {
      found[name] = await scenario(env)
    } catch (caught) { // one broken scenario must not hide the others
      console.error(name, caught)
      found[name] = { '!': `${caught.name}: ${caught.message}` }
    }
    if (options.includes('--times')) console.error(`${((Date.now() - began) / 1000).toFixed(2)} s  ${name}`)
  }
  await env.done()
  const plain = (key, value) => typeof value === 'bigint' ? `${value}n` : value
  process.stdout.write(JSON.stringify(found, plain))
}

main().catch(caught => { console.error(caught); process.exit(1) })
