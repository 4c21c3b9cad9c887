/** Transactions of every kind, results read in every way, many at once. */
'use strict'
const { neo4j, scenarios, check, rows, range, sleep } = require('./env')

// Looks for termination while it runs, on 5.x and later; would take minutes.
const LONG = 'UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)'
const first = result => result.records[0]._fields[0]

scenarios.tx_commit = env => env.session(async session => {
  const tx = session.beginTransaction()
  await tx.run(`CREATE (:${env.label})`)
  const inside = first(await tx.run(`MATCH (n:${env.label}) RETURN count(n)`))
  const outside = await env.count()
  await tx.commit()
  return [inside, outside, await env.count()]
})

scenarios.tx_rollback = env => env.session(async session => {
  const tx = await session.beginTransaction()
  await tx.run(`CREATE (:${env.label})`)
  await tx.rollback()
  const other = await session.beginTransaction()
  await other.run(`CREATE (:${env.label})`)
  await other.close() // without commit
  return [await env.count(), other.isOpen()]
})

scenarios.tx_session_closed = async env => {
  await env.session(async session => {
    const tx = await session.beginTransaction()
    await tx.run(`CREATE (:${env.label})`)
  })
  return env.count()
}

scenarios.tx_pipelined = env => env.session(async session => {
  // BEGIN, RUN and PULL of several statements leave the driver before any answer is read.
  const tx = session.beginTransaction()
  const all = await Promise.all(range(20).map(i => tx.run(`CREATE (n:${env.label} {i: $i}) RETURN n.i`, { i: neo4j.int(i) })))
  await tx.commit()
  return [all.map(first), await env.count()]
})

scenarios.autocommit = env => env.session(async session => {
  await session.run(`CREATE (:${env.label})`)
  return first(await session.run(`MATCH (n:${env.label}) RETURN count(n)`))
})

scenarios.autocommit_in_transactions = env => env.session(async session => {
  const result = await session.run(`UNWIND range(1, 100) AS i CALL { WITH i CREATE (:${env.label} {i: i}) } IN TRANSACTIONS OF 10 ROWS`)
  return [result.summary.counters.updates().nodesCreated, await env.count()]
})

scenarios.managed = env => env.session(async session => {
  const written = await session.executeWrite(async tx => first(await tx.run(`CREATE (n:${env.label} {i: 7}) RETURN n.i`)))
  const read = await session.executeRead(async tx => rows(await tx.run(`MATCH (n:${env.label}) RETURN n.i`)))
  const { records, keys } = await env.driver.executeQuery(`MATCH (n:${env.label}) RETURN n.i AS i`, {}, { database: 'neo4j', routing: 'READ' })
  return [written, read, records.map(r => r.toObject()), keys]
})

scenarios.managed_retry = env => env.session(async session => {
  let tries = 0
  const value = await session.executeWrite(async tx => {
    await tx.run(`CREATE (:${env.label} {try: $n})`, { n: neo4j.int(++tries) })
    if (tries === 1) throw new neo4j.Neo4jError('made by the test', neo4j.error.SESSION_EXPIRED, '50N42', '')
    return tries
  })
  return [value, await env.run(`MATCH (n:${env.label}) RETURN n.try`)]
})

scenarios.managed_deadlock = env => env.session(older => env.session(async session => {
  await env.run(`CREATE (:${env.label} {k: 'a', n: 0}), (:${env.label} {k: 'b', n: 0})`)
  const lock = `MATCH (n:${env.label} {k: $k}) SET n.n = n.n + 1`
  const other = await older.beginTransaction() // older than the managed one, so the managed one is the victim
  await other.run(lock, { k: 'b' })
  let tries = 0
  let waiting
  await session.executeWrite(async tx => {
    tries++
    await tx.run(lock, { k: 'a' })
    if (!waiting) {
      waiting = other.run(lock, { k: 'a' }).then(() => other.commit())
      await sleep(300)
    }
    await tx.run(lock, { k: 'b' })
  })
  await waiting
  return [tries, await env.run(`MATCH (n:${env.label}) RETURN n.k, n.n ORDER BY n.k`)]
}))

scenarios.managed_user_error = env => env.session(async session => {
  const error = await env.raises(() => session.executeWrite(async tx => {
    await tx.run(`CREATE (:${env.label})`)
    throw new Error('not retryable')
  }))
  return [error, await env.count(), first(await session.run('RETURN 1'))]
})

scenarios.session_reuse = env => env.session(async session => {
  let total = 0n
  for (let i = 0; i < 200; i++) total += first(await session.run('RETURN $i', { i: neo4j.int(i) }))
  return total
})

scenarios.parallel = async env => {
  await Promise.all(range(20).map(task => env.session(async session => {
    for (const i of range(20)) {
      await session.executeWrite(tx => tx.run(`CREATE (:${env.label} {id: $id})`, { id: neo4j.int(task * 20 + i) }))
    }
  })))
  return env.run(`MATCH (n:${env.label}) RETURN count(n), count(DISTINCT n.id), sum(n.id)`)
}

scenarios.bookmarks = async env => {
  const seen = []
  await env.session(async session => {
    for (let i = 0; i < 5; i++) {
      await session.executeWrite(tx => tx.run(`CREATE (:${env.label})`))
      const bookmarks = session.lastBookmarks()
      seen.push(bookmarks.length, await env.session(
        reader => reader.executeRead(async tx => first(await tx.run(`MATCH (n:${env.label}) RETURN count(n)`))),
        { bookmarks, defaultAccessMode: 'READ' }))
    }
  })
  return seen
}

scenarios.schemes = async env => {
  const seen = []
  for (const scheme of ['bolt', 'neo4j']) {
    await env.with(env.open(undefined, {}, env.withScheme(scheme)), async driver => {
      for (const defaultAccessMode of ['READ', 'WRITE']) {
        for (const database of ['neo4j', undefined, 'system']) {
          const result = await env.session(s => s.run(database === 'system' ? 'SHOW DEFAULT DATABASE YIELD name' : "RETURN 'x'"),
            { database, defaultAccessMode }, driver)
          seen.push([scheme, defaultAccessMode, database, rows(result), result.summary.database.name])
        }
      }
    })
  }
  return seen
}

scenarios.liveness_check = env => env.with(env.open(undefined, { connectionLivenessCheckTimeout: 0 }), async driver => {
  let total = 0n
  for (let i = 0; i < 20; i++) total += first(await env.session(s => s.run('RETURN $i', { i: neo4j.int(i) }), {}, driver))
  return total
})

scenarios.cancel_running = async env => {
  /* Closing a session in mid-query makes the driver send RESET. */
  if (env.serverMajor < 5) return 'not on this server' // its running queries do not notice a RESET
  const seen = []
  for (const explicit of [false, true, false, true]) {
    const session = env.driver.session({ database: 'neo4j' })
    const work = explicit ? session.beginTransaction().run(LONG) : session.run(LONG)
    const outcome = Promise.resolve(work).then(() => 'finished', () => 'failed')
    await sleep(200)
    await session.close()
    seen.push(await outcome, await env.run('RETURN 1'))
  }
  return seen
}

scenarios.result_50000 = env => env.session(async session => {
  const result = await session.run('UNWIND range(1, 50000) AS i RETURN i, toString(i) AS s, [i, i * 0.5] AS l')
  return [result.records.length, result.records.reduce((sum, r) => sum + r.get('i'), 0n), result.records.reduce((n, r) => n + r.get('s').length, 0)]
})

scenarios.result_closed_early = async env => {
  const seen = []
  for (let i = 0; i < 3; i++) {
    await env.session(async session => {
      const got = []
      for await (const record of session.run('UNWIND range(1, 100000) AS i RETURN i')) {
        got.push(record.get('i'))
        if (got.length === 10) break
      }
      seen.push(got)
    })
    seen.push(await env.run("RETURN 'next'"))
  }
  return seen
}

scenarios.result_small_fetch = env => env.session(async session => {
  const many = rows(await session.run('UNWIND range(1, 100) AS i RETURN i')).flat()
  const exact = rows(await session.run('UNWIND range(1, 14) AS i RETURN i')).flat()
  const none = rows(await session.run('UNWIND [] AS i RETURN i'))
  return [many, exact, none]
}, { fetchSize: 7 })

scenarios.result_two_open = env => env.session(async session => {
  const tx = await session.beginTransaction()
  const a = tx.run('UNWIND range(1, 40) AS i RETURN i')[Symbol.asyncIterator]()
  const b = tx.run('UNWIND range(101, 130) AS i RETURN i')[Symbol.asyncIterator]()
  const pairs = []
  for (let i = 0; i < 30; i++) pairs.push([(await a.next()).value.get('i'), (await b.next()).value.get('i')])
  const rest = []
  for (let next = await a.next(); !next.done; next = await a.next()) rest.push(next.value.get('i'))
  await tx.commit()
  return [pairs, rest]
}, { fetchSize: 5 })

scenarios.result_error_midway = env => env.session(async session => {
  const got = []
  const error = await env.raises(async () => {
    for await (const record of session.run('UNWIND [4, 2, 1, 0] AS x RETURN 4 / x AS v')) got.push(record.get('v'))
  })
  return [got, error, first(await session.run('RETURN 1'))]
})

scenarios.result_reactive = env => new Promise((resolve, reject) => {
  /* The reactive session pulls as many rows as are asked for. */
  const session = env.driver.rxSession({ database: 'neo4j', fetchSize: 10 })
  const got = []
  session.run('UNWIND range(1, 35) AS i RETURN i').records().subscribe({
    next: record => got.push(record.get('i')),
    error: reject,
    complete: () => session.close().subscribe({ complete: () => resolve(got), error: reject })
  })
})

scenarios.auth_two_users = async env => {
  const drivers = [...env.names.slice(0, 2).map(name => [name, env.open(env.login(name))]), [env.user, env.driver]]
  await Promise.all(drivers.map(async ([name, driver]) => {
    for (let i = 0; i < 25; i++) {
      const seen = await env.session(s => s.run('SHOW CURRENT USER YIELD user'), { database: 'system' }, driver)
      check(first(seen) === name, "another's name")
    }
  }))
  for (const [, driver] of drivers.slice(0, 2)) await driver.close()
  return 'each its own'
}

scenarios.auth_session = async env => {
  if (env.protocol < 5) return (await env.raises(() => env.session(s => s.run('RETURN 1'), { auth: env.login(env.names[0]) }))).name
  return env.with(env.open(undefined, { maxConnectionPoolSize: 2 }), async driver => {
    for (let i = 0; i < 15; i++) {
      for (const name of [env.names[0], env.names[1], undefined]) {
        const seen = await env.session(s => s.run('SHOW CURRENT USER YIELD user'),
          { database: 'system', auth: name && env.login(name) }, driver)
        check(first(seen) === (name ?? env.user), "another's name")
      }
    }
    return env.raises(() => env.session(s => s.run('RETURN 1'), { auth: neo4j.auth.basic(env.names[2], 'not it') }, driver))
  })
}

scenarios.auth_verify = async env => {
  if (env.protocol < 5) return [await env.driver.supportsSessionAuth()]
  return [await env.driver.supportsSessionAuth(),
    await env.driver.verifyAuthentication({ auth: env.login(env.names[0]), database: 'neo4j' }),
    await env.driver.verifyAuthentication({ auth: neo4j.auth.basic(env.names[2], 'not it'), database: 'neo4j' })]
}
