/** What a driver tells beside the rows: counters, plans, notifications, the server. */
'use strict'
const { neo4j, scenarios, rows } = require('./env')

const operators = plan => plan && [plan.operatorType, [...plan.identifiers].sort(), plan.children.map(operators)]
const codes = summary => [...(summary.notifications ?? []).map(n => n.code), ...(summary.gqlStatusObjects ?? []).map(s => s.gqlStatus)].sort()
const UNKNOWN = 'MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a, b'

scenarios.summary_counters = env => env.session(async session => {
  const l = env.label
  const seen = []
  for (const query of [`CREATE (a:${l} {k: 1})-[:R {x: 1}]->(b:${l}:Second)`, `MATCH (a:${l} {k: 1}) SET a.k = 2, a:Third REMOVE a:Second`,
    `MATCH (a:${l})-[r]-() DELETE r`, `CREATE INDEX ${l} FOR (n:${l}) ON (n.k)`, `DROP INDEX ${l}`, `MATCH (n:${l}) DETACH DELETE n RETURN count(n)`]) {
    const { summary } = await session.run(query)
    seen.push([summary.queryType, summary.counters.updates(), summary.counters.containsUpdates(), summary.database.name, codes(summary)])
  }
  return seen
})

scenarios.summary_notifications = env => env.session(async session => {
  const { summary } = await session.run(UNKNOWN)
  const explained = (await session.run('EXPLAIN ' + UNKNOWN)).summary
  return [codes(summary), codes(explained), summary.notifications.map(n => [n.title, n.severityLevel, n.category, n.position]).sort()]
})

scenarios.notification_filters = async env => {
  /* A filter of the driver goes with HELLO, so a pooler must carry it to whatever link is borrowed. */
  if (env.protocol < 5) return 'not on this server'
  const filters = [undefined, { minimumSeverityLevel: 'OFF' }, { minimumSeverityLevel: 'WARNING' }, { disabledCategories: ['UNRECOGNIZED'] }]
  const seen = []
  for (const notificationFilter of filters) {
    await env.with(env.open(undefined, notificationFilter && { notificationFilter }), async driver => {
      for (const own of [...filters, { disabledCategories: [] }]) {
        await env.session(async session => {
          const one = codes((await session.run(UNKNOWN)).summary)
          const two = codes((await session.executeRead(tx => tx.run(UNKNOWN))).summary)
          seen.push([notificationFilter, own, one, two])
        }, own && { notificationFilter: own }, driver)
      }
    })
  }
  return seen
}

scenarios.summary_plans = env => env.session(async session => {
  const query = `MATCH (a:${env.label}) WHERE a.k > 1 RETURN a.k ORDER BY a.k LIMIT 3`
  const seen = []
  for (const word of ['EXPLAIN', 'PROFILE']) {
    const { summary } = await session.run(`${word} ${query}`)
    seen.push([word, summary.queryType, operators(summary.plan), operators(summary.profile)])
  }
  return seen
})

scenarios.server_info = async env => {
  const info = await env.driver.getServerInfo()
  const { summary } = await env.session(s => s.run('RETURN 1'), { database: undefined }) // the server must tell the home database
  return [info.agent, info.protocolVersion, summary.database.name, summary.queryType, await env.driver.supportsMultiDb(),
    await env.driver.supportsTransactionConfig(), await env.driver.supportsUserImpersonation()]
}

scenarios.tx_metadata = env => env.session(async session => {
  const show = 'SHOW TRANSACTIONS YIELD metaData, username, database WHERE metaData.tag = $tag RETURN metaData.list, username, database'
  const metadata = { tag: env.tag, list: [neo4j.int(1), neo4j.int(2)] }
  const tx = await session.beginTransaction({ metadata })
  await tx.run('RETURN 1')
  const seen = [await env.run(show, { tag: env.tag })]
  await tx.commit()
  seen.push(rows(await session.run(show, { tag: env.tag }, { metadata, timeout: 30000 })))
  return seen
})
