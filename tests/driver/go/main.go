// Runs the shared scenarios with the official Go driver.
//
// usage: runner [-ca FILE] [-only REGEX] [-times] URI USER PASSWORD
//
// Prints one JSON object {scenario: result}; a scenario that fails by itself
// has the result {"!": "what happened"}.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

type scenario struct {
	name string
	run  func(*Env) any
}

// attempt runs one scenario; one that breaks must not hide the others.
func attempt(e *Env, s scenario) (result any) {
	defer func() {
		if r := recover(); r != nil {
			what := fmt.Sprint(r)
			if f, ok := r.(failure); ok {
				what = f.what
			}
			result = obj{"!": what}
		}
	}()
	return s.run(e)
}

func main() {
	only := flag.String("only", "", "scenarios whose names match")
	ca := flag.String("ca", "", "CA file that +s schemes trust")
	times := flag.Bool("times", false, "seconds of each scenario on stderr")
	flag.Parse()
	pool := x509.NewCertPool()
	if *ca != "" {
		check(pool.AppendCertsFromPEM(must(os.ReadFile(*ca))), "no certificate in "+*ca)
	}
	e := newEnv(flag.Arg(0), flag.Arg(1), flag.Arg(2), func(c *config.Config) {
		if *ca != "" {
			c.TlsConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
		}
	})
	wanted := regexp.MustCompile(*only)
	found := obj{}
	for _, s := range append(append(append([]scenario{}, values...), work...), others...) {
		if !wanted.MatchString(s.name) {
			continue
		}
		e.label = e.tag + "_" + s.name
		began := time.Now()
		found[s.name] = attempt(e, s)
		if *times {
			fmt.Fprintf(os.Stderr, "%7.2f s  %s\n", time.Since(began).Seconds(), s.name)
		}
	}
	e.done()
	os.Stdout.Write(must(json.Marshal(found)))
}
