package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

type obj = map[string]any
type list = []any

// Env is what every scenario gets: a driver, a tag for its own data, two more
// users. Results may hold only what must be equal directly and through a pooler.
type Env struct {
	uri, user, tag, label string
	auth                  neo4j.AuthToken
	driver                neo4j.DriverWithContext
	names                 []string
	configure             func(*config.Config)
	serverMajor           string
	protocol              int
	ctx                   context.Context
}

const password = "somepass1"

// failure is a check that did not hold; the runner reports it for the scenario.
type failure struct{ what string }

func check(ok bool, what string) {
	if !ok {
		panic(failure{what})
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(failure{err.Error()})
	}
	return value
}

func must0(err error) {
	if err != nil {
		panic(failure{err.Error()})
	}
}

func newEnv(uri, user, secret string, configure func(*config.Config)) *Env {
	random := make([]byte, 5)
	must(rand.Read(random))
	e := &Env{uri: uri, user: user, tag: "T" + hex.EncodeToString(random), auth: neo4j.BasicAuth(user, secret, ""),
		configure: configure, ctx: context.Background()}
	e.driver = e.open(uri, e.auth)
	for _, name := range []string{"alice", "bob", "wrong"} {
		e.names = append(e.names, name+strings.ToLower(e.tag))
		e.system(fmt.Sprintf("CREATE USER %s SET PASSWORD '%s' CHANGE NOT REQUIRED", e.names[len(e.names)-1], password))
	}
	info := must(e.driver.GetServerInfo(e.ctx))
	e.serverMajor = strings.Split(strings.TrimPrefix(info.Agent(), "Neo4j/"), ".")[0]
	e.protocol = info.ProtocolVersion().Major
	return e
}

func (e *Env) done() {
	for _, name := range e.names {
		e.system("DROP USER " + name + " IF EXISTS")
	}
	must0(e.driver.Close(e.ctx))
}

func (e *Env) open(uri string, auth neo4j.AuthToken, more ...func(*config.Config)) neo4j.DriverWithContext {
	return must(neo4j.NewDriverWithContext(uri, auth, append([]func(*config.Config){e.configure}, more...)...))
}

func (e *Env) login(name string) neo4j.AuthToken { return neo4j.BasicAuth(name, password, "") }

// session runs work in a session of its own and closes it.
func (e *Env) session(driver neo4j.DriverWithContext, c neo4j.SessionConfig, work func(neo4j.SessionWithContext)) {
	if c.DatabaseName == "" {
		c.DatabaseName = "neo4j"
	}
	if c.DatabaseName == "-" {
		c.DatabaseName = ""
	}
	s := driver.NewSession(e.ctx, c)
	defer s.Close(e.ctx)
	work(s)
}

func (e *Env) system(query string) {
	e.session(e.driver, neo4j.SessionConfig{DatabaseName: "system"}, func(s neo4j.SessionWithContext) {
		must(must(s.Run(e.ctx, query, nil)).Consume(e.ctx))
	})
}

func rowsOf(ctx context.Context, r neo4j.ResultWithContext) []list {
	rows := []list{}
	for _, record := range must(r.Collect(ctx)) {
		rows = append(rows, record.Values)
	}
	return rows
}

// run is an auto-commit query with all its rows.
func (e *Env) run(query string, parameters obj) (rows []list) {
	e.session(e.driver, neo4j.SessionConfig{}, func(s neo4j.SessionWithContext) {
		rows = rowsOf(e.ctx, must(s.Run(e.ctx, query, parameters)))
	})
	return rows
}

func (e *Env) count() any { return e.run("MATCH (n:"+e.label+") RETURN count(n)", nil)[0][0] }

func (e *Env) withScheme(scheme string) string {
	return regexp.MustCompile(`^[a-z0-9]+`).ReplaceAllString(e.uri, scheme)
}

func (e *Env) clean(text string) string {
	text = regexp.MustCompile("(?i)"+e.tag).ReplaceAllString(text, "TAG")
	return regexp.MustCompile(`\d+`).ReplaceAllString(text, "#")
}

// failed says what an application can tell from an error, less names made for this run.
func (e *Env) failed(err error) any {
	check(err != nil, "no error")
	var server *neo4j.Neo4jError
	if errors.As(err, &server) {
		cause := ""
		if server.GqlCause != nil {
			cause = server.GqlCause.GqlStatus
		}
		return obj{"code": server.Code, "message": e.clean(server.Msg), "retryable": neo4j.IsRetryable(err), "gql": server.GqlStatus,
			"description": e.clean(server.GqlStatusDescription), "classification": server.GqlClassification, "cause": cause}
	}
	return obj{"type": fmt.Sprintf("%T", err), "retryable": neo4j.IsRetryable(err)}
}

// drain is the error of running a query to its end.
func drain(ctx context.Context, r neo4j.ResultWithContext, err error) error {
	if err == nil {
		_, err = r.Consume(ctx)
	}
	return err
}
