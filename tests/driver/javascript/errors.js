/** Errors: code, message and whether work goes on afterwards. */
'use strict'
const { neo4j, scenarios, sleep } = require('./env')

scenarios.error_syntax = env => env.raises(() => env.run('RETURN 1 AS'))

scenarios.error_runtime = async env => {
  const seen = []
  for (const query of ['RETURN 1 / 0', 'RETURN $missing', 'CALL no.such.procedure()']) seen.push(await env.raises(() => env.run(query)))
  return seen
}

scenarios.error_constraint = async env => {
  await env.run(`CREATE CONSTRAINT ${env.label} FOR (n:${env.label}) REQUIRE n.k IS UNIQUE`)
  // Managed: constraints of other runs may make the server ask for a repetition.
  const create = () => env.session(s => s.executeWrite(tx => tx.run(`CREATE (:${env.label} {k: 1})`)))
  await create()
  const error = await env.raises(create)
  await env.run(`DROP CONSTRAINT ${env.label}`)
  return [error, await env.count()]
}

scenarios.error_then_continue = env => env.session(async session => {
  const seen = []
  for (let i = 0; i < 5; i++) {
    seen.push((await env.raises(() => session.run('RETURN x'))).code)
    seen.push((await session.run('RETURN $i', { i: neo4j.int(i) })).records[0].get(0))
    seen.push((await env.raises(() => session.run('RETURN 1 / 0'))).code)
  }
  return seen
})

scenarios.error_in_tx = env => env.session(async session => {
  const tx = await session.beginTransaction()
  await tx.run(`CREATE (:${env.label})`)
  const seen = [await env.raises(() => tx.run('RETURN x')), await env.raises(() => tx.run('RETURN 1')), await env.raises(() => tx.commit())]
  await tx.close()
  const after = await session.executeWrite(async tx => (await tx.run('RETURN 1')).records[0].get(0))
  return [seen, after, await env.count()]
})

scenarios.error_tx_timeout = env => env.session(async session => {
  const tx = await session.beginTransaction({ timeout: 1000, metadata: { why: 'timeout' } })
  await tx.run(`CREATE (:${env.label})`)
  await sleep(2200)
  const error = await env.raises(() => tx.run('RETURN 1'))
  await tx.close()
  return [error, (await session.run('RETURN 1')).records[0].get(0), await env.count()]
})

scenarios.error_database = async env => {
  const seen = [await env.raises(() => env.session(s => s.run('RETURN 1'), { database: 'nosuchdb' }))]
  seen.push(await env.raises(() => env.session(s => s.executeRead(tx => tx.run('RETURN 1')), { database: 'nosuchdb' })))
  await env.with(env.open(undefined, {}, env.withScheme('neo4j')), async driver => {
    seen.push(await env.raises(() => env.session(s => s.run('RETURN 1'), { database: 'nosuchdb' }, driver)))
  })
  return seen
}

scenarios.error_bookmark = async env =>
  [await env.raises(() => env.session(s => s.run('RETURN 1'), { bookmarks: ['not a bookmark'] })), await env.run('RETURN 1')]

scenarios.error_read_mode = async env => [
  await env.raises(() => env.session(s => s.run(`CREATE (:${env.label})`), { defaultAccessMode: 'READ' })),
  await env.raises(() => env.session(s => s.executeRead(tx => tx.run(`CREATE (:${env.label})`)))), await env.count()]

scenarios.error_impersonation = async env =>
  [await env.raises(() => env.session(s => s.run('RETURN 1'), { impersonatedUser: env.names[0] })), await env.run('RETURN 1')]

scenarios.auth_wrong_password = async env => {
  const seen = []
  for (const auth of [neo4j.auth.basic(env.names[2], 'not it'), neo4j.auth.basic('nobody' + env.tag.toLowerCase(), 'x'), neo4j.auth.bearer('x')]) {
    seen.push(await env.raises(() => env.with(env.open(auth), driver => driver.verifyConnectivity())))
  }
  await env.with(env.open(env.login(env.names[2])), driver => driver.verifyConnectivity())
  return seen
}
