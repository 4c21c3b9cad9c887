package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

// Looks for termination while it runs, on 5.x and later; would take minutes.
const long = "UNWIND range(1, 300000000) AS x WITH x WHERE x % 7 = 8 RETURN count(x)"

// inSession is a scenario that needs one session of the run's own driver.
func inSession(c neo4j.SessionConfig, work func(*Env, neo4j.SessionWithContext) any) func(*Env) any {
	return func(e *Env) (result any) {
		e.session(e.driver, c, func(s neo4j.SessionWithContext) { result = work(e, s) })
		return result
	}
}

func one(ctx context.Context, r neo4j.ResultWithContext, err error) any {
	must(r, err)
	return must(r.Single(ctx)).Values[0]
}

func consume(ctx context.Context, r neo4j.ResultWithContext, err error) neo4j.ResultSummary {
	must(r, err)
	return must(r.Consume(ctx))
}

var work = []scenario{
	{"tx_commit", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		tx := must(s.BeginTransaction(e.ctx))
		must(tx.Run(e.ctx, "CREATE (:"+e.label+")", nil))
		r, err := tx.Run(e.ctx, "MATCH (n:"+e.label+") RETURN count(n)", nil)
		inside, outside := one(e.ctx, r, err), e.count()
		must0(tx.Commit(e.ctx))
		return list{inside, outside, e.count()}
	})},
	{"tx_rollback", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		for _, end := range []func(neo4j.ExplicitTransaction) error{
			func(tx neo4j.ExplicitTransaction) error { return tx.Rollback(e.ctx) },
			func(tx neo4j.ExplicitTransaction) error { return tx.Close(e.ctx) }} {
			tx := must(s.BeginTransaction(e.ctx))
			must(tx.Run(e.ctx, "CREATE (:"+e.label+")", nil))
			must0(end(tx))
		}
		return e.count()
	})},
	{"tx_session_closed", func(e *Env) any {
		e.session(e.driver, neo4j.SessionConfig{}, func(s neo4j.SessionWithContext) {
			tx := must(s.BeginTransaction(e.ctx))
			must(tx.Run(e.ctx, "CREATE (:"+e.label+")", nil))
		})
		return e.count()
	}},
	{"autocommit", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		must(s.Run(e.ctx, "CREATE (:"+e.label+")", nil)) // never looked at
		r, err := s.Run(e.ctx, "MATCH (n:"+e.label+") RETURN count(n)", nil)
		return one(e.ctx, r, err)
	})},
	{"autocommit_in_transactions", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		r, err := s.Run(e.ctx, "UNWIND range(1, 100) AS i CALL { WITH i CREATE (:"+e.label+" {i: i}) } IN TRANSACTIONS OF 10 ROWS", nil)
		return list{consume(e.ctx, r, err).Counters().NodesCreated(), e.count()}
	})},
	{"managed", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		written := must(s.ExecuteWrite(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			r, err := tx.Run(e.ctx, "CREATE (n:"+e.label+" {i: 7}) RETURN n.i", nil)
			return one(e.ctx, r, err), nil
		}))
		read := must(s.ExecuteRead(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			return rowsOf(e.ctx, must(tx.Run(e.ctx, "MATCH (n:"+e.label+") RETURN n.i", nil))), nil
		}))
		result := must(neo4j.ExecuteQuery(e.ctx, e.driver, "MATCH (n:"+e.label+") RETURN n.i AS i", nil, neo4j.EagerResultTransformer,
			neo4j.ExecuteQueryWithDatabase("neo4j"), neo4j.ExecuteQueryWithReadersRouting()))
		return list{written, read, result.Keys, result.Records[0].Values}
	})},
	{"managed_retry", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		tries := 0
		value := must(s.ExecuteWrite(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			tries++
			r, err := tx.Run(e.ctx, "CREATE (:"+e.label+" {try: $n})", obj{"n": tries})
			if err := drain(e.ctx, r, err); err != nil {
				return nil, err
			}
			if tries == 1 {
				return nil, &neo4j.Neo4jError{Code: "Neo.TransientError.General.Made", Msg: "made by the test"}
			}
			return tries, nil
		}))
		return list{value, e.run("MATCH (n:"+e.label+") RETURN n.try", nil)}
	})},
	{"managed_deadlock", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		e.run("CREATE (:"+e.label+" {k: 'a', n: 0}), (:"+e.label+" {k: 'b', n: 0})", nil)
		lock := "MATCH (n:" + e.label + " {k: $k}) SET n.n = n.n + 1"
		tries := 0
		e.session(e.driver, neo4j.SessionConfig{}, func(older neo4j.SessionWithContext) {
			other := must(older.BeginTransaction(e.ctx)) // older than the managed one, so the managed one is the victim
			r, err := other.Run(e.ctx, lock, obj{"k": "b"})
			consume(e.ctx, r, err)
			waiting := make(chan error, 1)
			must(s.ExecuteWrite(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
				tries++
				r, err := tx.Run(e.ctx, lock, obj{"k": "a"})
				if err := drain(e.ctx, r, err); err != nil {
					return nil, err
				}
				if tries == 1 {
					go func() {
						r, err := other.Run(e.ctx, lock, obj{"k": "a"})
						if err = drain(e.ctx, r, err); err == nil {
							err = other.Commit(e.ctx)
						}
						waiting <- err
					}()
					time.Sleep(300 * time.Millisecond)
				}
				r, err = tx.Run(e.ctx, lock, obj{"k": "b"})
				return nil, drain(e.ctx, r, err)
			}))
			must0(<-waiting)
		})
		return list{tries, e.run("MATCH (n:"+e.label+") RETURN n.k, n.n ORDER BY n.k", nil)}
	})},
	{"managed_user_error", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		_, err := s.ExecuteWrite(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			must(tx.Run(e.ctx, "CREATE (:"+e.label+")", nil))
			return nil, errors.New("not retryable")
		})
		return list{err.Error(), e.count()}
	})},
	{"session_reuse", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		total := int64(0)
		for i := 0; i < 200; i++ {
			r, err := s.Run(e.ctx, "RETURN $i", obj{"i": i})
			total += one(e.ctx, r, err).(int64)
		}
		return total
	})},
	{"parallel", func(e *Env) any {
		var group sync.WaitGroup
		problems := make(chan error, 400)
		for task := 0; task < 20; task++ {
			group.Add(1)
			go func(task int) {
				defer group.Done()
				s := e.driver.NewSession(e.ctx, neo4j.SessionConfig{DatabaseName: "neo4j"})
				defer s.Close(e.ctx)
				for i := 0; i < 20; i++ {
					_, err := s.ExecuteWrite(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
						r, err := tx.Run(e.ctx, "CREATE (:"+e.label+" {id: $id})", obj{"id": task*20 + i})
						return nil, drain(e.ctx, r, err)
					})
					if err != nil {
						problems <- err
					}
				}
			}(task)
		}
		group.Wait()
		close(problems)
		for err := range problems {
			must0(err)
		}
		return e.run("MATCH (n:"+e.label+") RETURN count(n), count(DISTINCT n.id), sum(n.id)", nil)
	}},
	{"bookmarks", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		seen := list{}
		for i := 0; i < 5; i++ {
			must(s.ExecuteWrite(e.ctx, func(tx neo4j.ManagedTransaction) (any, error) {
				r, err := tx.Run(e.ctx, "CREATE (:"+e.label+")", nil)
				return nil, drain(e.ctx, r, err)
			}))
			marks := s.LastBookmarks()
			e.session(e.driver, neo4j.SessionConfig{Bookmarks: marks, AccessMode: neo4j.AccessModeRead}, func(reader neo4j.SessionWithContext) {
				r, err := reader.Run(e.ctx, "MATCH (n:"+e.label+") RETURN count(n)", nil)
				seen = append(seen, len(marks), one(e.ctx, r, err))
			})
		}
		return seen
	})},
	{"schemes", func(e *Env) any {
		seen := list{}
		for _, scheme := range []string{"bolt", "neo4j"} {
			driver := e.open(e.withScheme(scheme), e.auth)
			must0(driver.VerifyConnectivity(e.ctx))
			for _, mode := range []neo4j.AccessMode{neo4j.AccessModeRead, neo4j.AccessModeWrite} {
				for _, database := range []string{"neo4j", "-", "system"} {
					e.session(driver, neo4j.SessionConfig{DatabaseName: database, AccessMode: mode}, func(s neo4j.SessionWithContext) {
						query := "RETURN 'x'"
						if database == "system" {
							query = "SHOW DEFAULT DATABASE YIELD name"
						}
						r, err := s.Run(e.ctx, query, nil)
						seen = append(seen, list{scheme, mode, database, one(e.ctx, r, err), must(r.Consume(e.ctx)).Database().Name()})
					})
				}
			}
			must0(driver.Close(e.ctx))
		}
		return seen
	}},
	{"liveness_check", func(e *Env) any {
		// A driver that sends RESET before every reuse.
		driver := e.open(e.uri, e.auth, func(c *config.Config) { c.ConnectionLivenessCheckTimeout = 0 })
		defer driver.Close(e.ctx)
		total := int64(0)
		for i := 0; i < 20; i++ {
			e.session(driver, neo4j.SessionConfig{}, func(s neo4j.SessionWithContext) {
				r, err := s.Run(e.ctx, "RETURN $i", obj{"i": i})
				total += one(e.ctx, r, err).(int64)
			})
		}
		return total
	}},
	{"cancel_running", func(e *Env) any {
		// A cancelled context drops the connection in mid-query; new work must succeed at once.
		if e.serverMajor == "4" {
			return "not on this server"
		}
		seen := list{}
		for i := 0; i < 4; i++ {
			ctx, cancel := context.WithTimeout(e.ctx, 200*time.Millisecond)
			s := e.driver.NewSession(e.ctx, neo4j.SessionConfig{DatabaseName: "neo4j"})
			var err error
			if i%2 == 0 {
				r, runErr := s.Run(ctx, long, nil)
				err = drain(ctx, r, runErr)
			} else {
				_, err = s.ExecuteRead(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
					r, err := tx.Run(ctx, long, nil)
					return nil, drain(ctx, r, err)
				})
			}
			cancel()
			s.Close(e.ctx)
			check(err != nil, "not cancelled")
			seen = append(seen, e.run("RETURN 1", nil))
		}
		return seen
	}},
	{"result_50000", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		r := must(s.Run(e.ctx, "UNWIND range(1, 50000) AS i RETURN i, toString(i) AS s", nil))
		count, total, length := 0, int64(0), 0
		for r.Next(e.ctx) {
			count++
			total += r.Record().Values[0].(int64)
			length += len(r.Record().Values[1].(string))
		}
		must0(r.Err())
		return list{count, total, length}
	})},
	{"result_closed_early", func(e *Env) any {
		seen := list{}
		for i := 0; i < 3; i++ {
			e.session(e.driver, neo4j.SessionConfig{}, func(s neo4j.SessionWithContext) {
				r := must(s.Run(e.ctx, "UNWIND range(1, 100000) AS i RETURN i", nil))
				for n := 0; n < 10 && r.Next(e.ctx); n++ {
					seen = append(seen, r.Record().Values[0])
				}
			})
			seen = append(seen, e.run("RETURN 'next'", nil))
		}
		return seen
	}},
	{"result_small_fetch", inSession(neo4j.SessionConfig{FetchSize: 7}, func(e *Env, s neo4j.SessionWithContext) any {
		seen := list{}
		for _, n := range []int{100, 14, 0} {
			seen = append(seen, rowsOf(e.ctx, must(s.Run(e.ctx, "UNWIND range(1, $n) AS i RETURN i", obj{"n": n}))))
		}
		return seen
	})},
	{"result_two_open", inSession(neo4j.SessionConfig{FetchSize: 5}, func(e *Env, s neo4j.SessionWithContext) any {
		tx := must(s.BeginTransaction(e.ctx))
		a := must(tx.Run(e.ctx, "UNWIND range(1, 40) AS i RETURN i", nil))
		b := must(tx.Run(e.ctx, "UNWIND range(101, 130) AS i RETURN i", nil))
		seen := list{}
		for a.Next(e.ctx) {
			seen = append(seen, a.Record().Values[0])
			if b.Next(e.ctx) {
				seen = append(seen, b.Record().Values[0])
			}
		}
		must0(tx.Commit(e.ctx))
		return seen
	})},
	{"result_error_midway", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		r := must(s.Run(e.ctx, "UNWIND [4, 2, 1, 0] AS x RETURN 4 / x", nil))
		seen := list{}
		for r.Next(e.ctx) {
			seen = append(seen, r.Record().Values[0])
		}
		return append(seen, e.failed(r.Err()), e.run("RETURN 1", nil))
	})},
}
