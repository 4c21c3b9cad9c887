package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/notifications"
)

const unknown = "MATCH (a:NoSuchLabelHere), (b:NoSuchLabelHere) RETURN a, b"

// attemptRun is the error of one auto-commit query under a session's configuration.
func attemptRun(e *Env, driver neo4j.DriverWithContext, c neo4j.SessionConfig, query string) (result any) {
	e.session(driver, c, func(s neo4j.SessionWithContext) {
		r, err := s.Run(e.ctx, query, nil)
		result = e.failed(drain(e.ctx, r, err))
	})
	return result
}

func codes(summary neo4j.ResultSummary) list {
	seen := []string{}
	for _, n := range summary.Notifications() {
		seen = append(seen, n.Code())
	}
	for _, g := range summary.GqlStatusObjects() {
		seen = append(seen, g.GqlStatus())
	}
	sort.Strings(seen)
	all := list{}
	for _, code := range seen {
		all = append(all, code)
	}
	return all
}

func operators(p neo4j.Plan) any {
	children := list{}
	for _, child := range p.Children() {
		children = append(children, operators(child))
	}
	return list{p.Operator(), children}
}

var others = []scenario{
	{"error_syntax", func(e *Env) any { return attemptRun(e, e.driver, neo4j.SessionConfig{}, "RETURN 1 AS") }},
	{"error_runtime", func(e *Env) any {
		seen := list{}
		for _, query := range []string{"RETURN 1 / 0", "RETURN $missing", "CALL no.such.procedure()"} {
			seen = append(seen, attemptRun(e, e.driver, neo4j.SessionConfig{}, query))
		}
		return seen
	}},
	{"error_constraint", func(e *Env) any {
		e.run(fmt.Sprintf("CREATE CONSTRAINT %[1]s FOR (n:%[1]s) REQUIRE n.k IS UNIQUE", e.label), nil)
		// Managed: constraints of other runs may make the server ask for a repetition.
		create := func() error {
			_, err := neo4j.ExecuteQuery(e.ctx, e.driver, "CREATE (:"+e.label+" {k: 1})", nil, neo4j.EagerResultTransformer, neo4j.ExecuteQueryWithDatabase("neo4j"))
			return err
		}
		must0(create())
		seen := e.failed(create())
		e.run("DROP CONSTRAINT "+e.label, nil)
		return list{seen, e.count()}
	}},
	{"error_then_continue", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		seen := list{}
		for i := 0; i < 5; i++ {
			r, err := s.Run(e.ctx, "RETURN x", nil)
			seen = append(seen, e.failed(drain(e.ctx, r, err)))
			r, err = s.Run(e.ctx, "RETURN $i", obj{"i": i})
			seen = append(seen, one(e.ctx, r, err))
		}
		return seen
	})},
	{"error_in_tx", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		tx := must(s.BeginTransaction(e.ctx))
		r, err := tx.Run(e.ctx, "CREATE (:"+e.label+")", nil)
		consume(e.ctx, r, err)
		r, err = tx.Run(e.ctx, "RETURN x", nil)
		seen := list{e.failed(drain(e.ctx, r, err))}
		_, err = tx.Run(e.ctx, "RETURN 1", nil)
		seen = append(seen, e.failed(err), e.failed(tx.Commit(e.ctx)))
		tx.Close(e.ctx)
		r, err = s.Run(e.ctx, "RETURN 1", nil)
		return append(seen, one(e.ctx, r, err), e.count())
	})},
	{"error_tx_timeout", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		tx := must(s.BeginTransaction(e.ctx, neo4j.WithTxTimeout(time.Second)))
		r, err := tx.Run(e.ctx, "CREATE (:"+e.label+")", nil)
		consume(e.ctx, r, err)
		time.Sleep(2200 * time.Millisecond)
		r, err = tx.Run(e.ctx, "RETURN 1", nil)
		seen := e.failed(drain(e.ctx, r, err))
		tx.Close(e.ctx)
		return list{seen, e.count()}
	})},
	{"error_database", func(e *Env) any {
		driver := e.open(e.withScheme("neo4j"), e.auth)
		defer driver.Close(e.ctx)
		missing := neo4j.SessionConfig{DatabaseName: "nosuchdb"}
		return list{attemptRun(e, e.driver, missing, "RETURN 1"), attemptRun(e, driver, missing, "RETURN 1")}
	}},
	{"error_bookmark", func(e *Env) any {
		return list{attemptRun(e, e.driver, neo4j.SessionConfig{Bookmarks: neo4j.BookmarksFromRawValues("not a bookmark")}, "RETURN 1"), e.run("RETURN 1", nil)}
	}},
	{"error_read_mode", func(e *Env) any {
		return list{attemptRun(e, e.driver, neo4j.SessionConfig{AccessMode: neo4j.AccessModeRead}, "CREATE (:"+e.label+")"), e.count()}
	}},
	{"error_impersonation", func(e *Env) any {
		return list{attemptRun(e, e.driver, neo4j.SessionConfig{ImpersonatedUser: e.names[0]}, "RETURN 1"), e.run("RETURN 1", nil)}
	}},
	{"auth_wrong_password", func(e *Env) any {
		seen := list{}
		for _, auth := range []neo4j.AuthToken{neo4j.BasicAuth(e.names[2], "not it", ""), neo4j.BasicAuth("nobody"+e.tag, "x", ""), neo4j.NoAuth(), neo4j.BearerAuth("x")} {
			driver := e.open(e.uri, auth)
			seen = append(seen, e.failed(driver.VerifyConnectivity(e.ctx)))
			driver.Close(e.ctx)
		}
		driver := e.open(e.uri, e.login(e.names[2]))
		defer driver.Close(e.ctx)
		must0(driver.VerifyConnectivity(e.ctx))
		return seen
	}},
	{"auth_two_users", func(e *Env) any {
		one1, two := e.open(e.uri, e.login(e.names[0])), e.open(e.uri, e.login(e.names[1]))
		defer one1.Close(e.ctx)
		defer two.Close(e.ctx)
		for i := 0; i < 75; i++ {
			driver := []neo4j.DriverWithContext{one1, two, e.driver}[i%3]
			name := []string{e.names[0], e.names[1], e.user}[i%3]
			e.session(driver, neo4j.SessionConfig{DatabaseName: "system"}, func(s neo4j.SessionWithContext) {
				r, err := s.Run(e.ctx, "SHOW CURRENT USER YIELD user", nil)
				check(one(e.ctx, r, err) == name, "another's name")
			})
		}
		return "each its own"
	}},
	{"auth_session", func(e *Env) any {
		if e.protocol < 5 {
			alice := e.login(e.names[0])
			return attemptRun(e, e.driver, neo4j.SessionConfig{Auth: &alice}, "RETURN 1")
		}
		driver := e.open(e.uri, e.auth, func(c *config.Config) { c.MaxConnectionPoolSize = 2 })
		defer driver.Close(e.ctx)
		for i := 0; i < 30; i++ {
			auth := e.login(e.names[i%2])
			e.session(driver, neo4j.SessionConfig{DatabaseName: "system", Auth: &auth}, func(s neo4j.SessionWithContext) {
				r, err := s.Run(e.ctx, "SHOW CURRENT USER YIELD user", nil)
				check(one(e.ctx, r, err) == e.names[i%2], "another's name")
			})
		}
		wrong := neo4j.BasicAuth(e.names[2], "not it", "")
		return attemptRun(e, driver, neo4j.SessionConfig{Auth: &wrong}, "RETURN 1")
	}},
	{"auth_verify", func(e *Env) any {
		if e.protocol < 5 {
			return "not on this server"
		}
		alice, wrong := e.login(e.names[0]), neo4j.BasicAuth(e.names[2], "not it", "")
		return list{e.driver.VerifyAuthentication(e.ctx, &alice) == nil, e.failed(e.driver.VerifyAuthentication(e.ctx, &wrong))}
	}},
	{"summary_counters", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		seen := list{}
		for _, query := range []string{"CREATE (a:%[1]s {k: 1})-[:R {x: 1}]->(b:%[1]s:Second)", "MATCH (a:%[1]s {k: 1}) SET a.k = 2, a:Third REMOVE a:Second",
			"MATCH (a:%[1]s)-[r]-() DELETE r", "CREATE INDEX %[1]s FOR (n:%[1]s) ON (n.k)", "DROP INDEX %[1]s", "MATCH (n:%[1]s) DETACH DELETE n RETURN count(n)"} {
			r, err := s.Run(e.ctx, strings.ReplaceAll(query, "%[1]s", e.label), nil)
			summary := consume(e.ctx, r, err)
			c := summary.Counters()
			seen = append(seen, list{summary.StatementType().String(), c.NodesCreated(), c.NodesDeleted(), c.RelationshipsCreated(), c.RelationshipsDeleted(),
				c.PropertiesSet(), c.LabelsAdded(), c.LabelsRemoved(), c.IndexesAdded(), c.IndexesRemoved(), c.ContainsUpdates(), summary.Database().Name(), codes(summary)})
		}
		return seen
	})},
	{"summary_notifications", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		r, err := s.Run(e.ctx, unknown, nil)
		return codes(consume(e.ctx, r, err))
	})},
	{"notification_filters", func(e *Env) any {
		// A filter of the driver goes with HELLO, so a pooler must carry it to whatever link is borrowed.
		if e.protocol < 5 {
			return "not on this server"
		}
		seen := list{}
		for _, configure := range []func(*config.Config){func(*config.Config) {},
			func(c *config.Config) { c.NotificationsMinSeverity = notifications.DisabledLevel },
			func(c *config.Config) { c.NotificationsMinSeverity = notifications.WarningLevel },
			func(c *config.Config) {
				c.NotificationsDisabledCategories = notifications.DisableCategories(notifications.Unrecognized)
			}} {
			driver := e.open(e.uri, e.auth, configure)
			for _, c := range []neo4j.SessionConfig{{}, {NotificationsMinSeverity: notifications.DisabledLevel},
				{NotificationsDisabledCategories: notifications.DisableCategories(notifications.Unrecognized)},
				{NotificationsDisabledCategories: notifications.DisableNoCategories()}} {
				e.session(driver, c, func(s neo4j.SessionWithContext) {
					r, err := s.Run(e.ctx, unknown, nil)
					seen = append(seen, codes(consume(e.ctx, r, err)))
				})
			}
			driver.Close(e.ctx)
		}
		return seen
	}},
	{"summary_plans", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		query := "MATCH (a:" + e.label + ") WHERE a.k > 1 RETURN a.k ORDER BY a.k LIMIT 3"
		r, err := s.Run(e.ctx, "EXPLAIN "+query, nil)
		explained := consume(e.ctx, r, err)
		r, err = s.Run(e.ctx, "PROFILE "+query, nil)
		profiled := consume(e.ctx, r, err)
		return list{operators(explained.Plan()), profiled.Profile().Operator(), explained.Profile() == nil}
	})},
	{"server_info", func(e *Env) any {
		info := must(e.driver.GetServerInfo(e.ctx))
		seen := list{info.Agent(), info.ProtocolVersion()}
		e.session(e.driver, neo4j.SessionConfig{DatabaseName: "-"}, func(s neo4j.SessionWithContext) {
			r, err := s.Run(e.ctx, "RETURN 1", nil) // no database named: the server must tell the home database
			summary := consume(e.ctx, r, err)
			seen = append(seen, summary.Database().Name(), summary.Server().Agent(), summary.StatementType().String())
		})
		return seen
	}},
	{"tx_metadata", inSession(neo4j.SessionConfig{}, func(e *Env, s neo4j.SessionWithContext) any {
		show := "SHOW TRANSACTIONS YIELD metaData, username, database WHERE metaData.tag = $tag RETURN metaData.list, username, database"
		metadata := neo4j.WithTxMetadata(obj{"tag": e.tag, "list": list{1, 2}})
		tx := must(s.BeginTransaction(e.ctx, metadata))
		r, err := tx.Run(e.ctx, "RETURN 1", nil)
		consume(e.ctx, r, err)
		seen := list{e.run(show, obj{"tag": e.tag})}
		must0(tx.Commit(e.ctx))
		return append(seen, rowsOf(e.ctx, must(s.Run(e.ctx, show, obj{"tag": e.tag}, metadata))))
	})},
}
