/** Every type of value there and back: what was sent must come back equal, and print the same. */
'use strict'
const crypto = require('crypto')
const { isDeepStrictEqual } = require('util')
const { neo4j, scenarios, check, range } = require('./env')

const show = value => {
  const text = Object.is(value, -0) ? '-0' : typeof value === 'bigint' ? `${value}n`
    : typeof value === 'number' ? `${value}` : JSON.stringify(value, (k, v) => typeof v === 'bigint' ? `${v}n` : v) ?? 'undefined'
  return text.length < 200 ? text : crypto.createHash('sha256').update(text).digest('hex')
}

async function echo (env, values) {
  const shown = []
  await env.session(async session => {
    for (const value of values) {
      const got = (await session.run('RETURN $v AS v', { v: value })).records[0].get('v')
      check(isDeepStrictEqual(value, got), `${show(value)} came back as ${show(got)}`)
      shown.push(show(got))
    }
    const all = (await session.run('RETURN $v AS v', { v: values })).records[0].get('v')
    check(isDeepStrictEqual(values, all), 'the list differs')
  })
  return shown
}

scenarios.values_scalars = env => {
  const edges = [0n, 1n, -1n, -16n, -17n, 127n, 128n, -128n, -129n, 32767n, 32768n, -32768n, -32769n,
    2n ** 31n - 1n, 2n ** 31n, -(2n ** 31n), -(2n ** 31n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)]
  const floats = [0.5, -0.0, 1.1, -1e308, 5e-324, Infinity, -Infinity, NaN, 1]
  return echo(env, [null, true, false, ...edges, ...floats])
}

scenarios.values_strings = env => echo(env, [
  ...[0, 1, 15, 16, 255, 256, 65535, 65536, 100000].map(n => 'x'.repeat(n)),
  'é'.repeat(8), '\u0000', '日本語', '😀👩‍👩‍👧', 'a\r\n\t"\'\\'])

scenarios.values_bytes = env =>
  Promise.all([0, 1, 255, 256, 65535, 65536, 70000].map(async n => {
    const sent = Int8Array.from(range(n), i => i % 256)
    const got = (await env.run('RETURN $v', { v: sent }))[0][0]
    check(Buffer.from(sent.buffer).equals(Buffer.from(got.buffer, got.byteOffset, got.length)))
    return got.length
  }))

scenarios.values_containers = env => {
  let nested = 1n
  for (let i = 0; i < 20; i++) nested = [{ deeper: nested }]
  const map = n => Object.fromEntries(range(n).map(i => [`k${i}`, BigInt(i)]))
  const list = n => range(n).map(BigInt)
  return echo(env, [...[0, 15, 16, 255, 256, 20000].map(list), [null], { '': 0n }, ...[0, 15, 16, 255, 256, 1000].map(map), nested])
}

scenarios.values_graph = async env => {
  const l = env.label
  const [[a, r, p]] = await env.run(
    `CREATE p = (a:${l}:Second {name: 'a'})-[:KNOWS {since: 2000}]->(:${l} {name: 'b'})<-[:KNOWS]-(:${l}) RETURN a, relationships(p)[0], p`)
  check(p.start.elementId === a.elementId && r.startNodeElementId === a.elementId)
  return [a.labels.map(x => env.clean(x)).sort(), a.properties, r.type, r.properties, p.length,
    p.segments.map(s => [s.start.properties, s.relationship.type, s.relationship.properties, s.end.properties,
      s.relationship.startNodeElementId === s.start.elementId])]
}

scenarios.values_temporal = async env => {
  const t = neo4j.types
  const values = [
    new t.Date(1n, 1n, 1n), new t.Date(9999n, 12n, 31n), new t.LocalTime(23n, 59n, 59n, 999999999n), new t.Time(12n, 34n, 56n, 789n, -12600n),
    new t.LocalDateTime(2024n, 2n, 29n, 23n, 59n, 59n, 123456789n), new t.DateTime(2024n, 2n, 29n, 1n, 2n, 3n, 4n, -12600n, null),
    new t.Duration(1n, -2n, 3n, 4n), new t.Duration(-14n, 400n, -1n, 1n)]
  const shown = []
  for (const value of values) {
    const [[got, text]] = await env.run('RETURN $v AS v, toString($v)', { v: value })
    check(got.toString() === value.toString(), `${value} came back as ${got}`)
    shown.push([got.toString(), text, got.constructor.name])
  }
  for (const zone of ['Europe/Paris', 'America/New_York', 'Asia/Kolkata']) {
    const [[got]] = await env.run('RETURN datetime({year: 2024, month: 7, day: 1, hour: 3, minute: 0, second: 0, nanosecond: 42, timezone: $z})', { z: zone })
    const [[again, text]] = await env.run('RETURN $d, toString($d)', { d: got })
    check(again.toString() === got.toString())
    shown.push([again.toString(), text, again.timeZoneId])
  }
  return shown
}

scenarios.values_spatial = async env => {
  const P = neo4j.types.Point
  const points = [new P(7203n, 1.5, -2.5), new P(9157n, 1, 2, 3), new P(4326n, 12.99, 55.6), new P(4979n, 12.99, 55.6, 100)]
  const got = (await env.run('RETURN $p', { p: points }))[0][0]
  check(got.every((point, i) => point.toString() === points[i].toString()))
  return got.map(String)
}

scenarios.values_vector = async env => {
  if (env.protocol < 6) {
    if (env.serverMajor < 2025) return 'not on this server'
    return show((await env.run('CYPHER 25 RETURN vector([1, 2, 3], 3, INTEGER8) AS v'))[0][0])
  }
  const shown = []
  for (const array of [new Int8Array([1, -2]), new Int16Array([300]), new Int32Array([70000, 1]), new BigInt64Array([2n ** 40n]),
    new Float32Array([1.5, 0.25]), new Float64Array([1.1])]) {
    const got = (await env.run('RETURN $v', { v: neo4j.vector(array) }))[0][0]
    check(got.toString() === neo4j.vector(array).toString())
    shown.push(got.toString())
  }
  return shown
}

scenarios.values_large = async env => {
  const seen = []
  for (const size of [10000, 300000, 4000000]) {
    const sent = 'abcdefghij'.repeat(size / 10)
    const [[got, length]] = await env.run('RETURN $v, size($v)', { v: sent })
    check(got === sent)
    seen.push(length)
  }
  const [[big]] = await env.run('RETURN reduce(s = $s, i IN range(1, 4) | s + s)', { s: '0123456789abcdef'.repeat(20480) })
  check(big === '0123456789abcdef'.repeat(20480 * 16))
  return [...seen, big.length]
}
