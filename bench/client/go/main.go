// Reads rows with the official Go driver, as ../boltpool.c does.
//
// usage: client URI USER PASSWORD QUERY ROWS REPEATS
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
)

type sums struct {
	rows, ints, truths, lengths, ends int64
	floats                            float64
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	fail(err)
	return n
}

func cpu() (user, system time.Duration) {
	var usage syscall.Rusage
	fail(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano())
}

func read(ctx context.Context, session neo4j.SessionWithContext, query string, rows int) (s sums) {
	result, err := session.Run(ctx, query, map[string]any{"rows": rows})
	fail(err)
	for result.Next(ctx) {
		values := result.Record().Values
		s.rows++
		s.ints += values[0].(int64)
		s.floats += values[1].(float64)
		if values[3].(bool) {
			s.truths++
		}
		for _, text := range []string{values[2].(string), values[4].(string)} {
			s.lengths += int64(len(text))
			s.ends += int64(text[len(text)-1])
		}
	}
	fail(result.Err())
	return s
}

func main() {
	arguments := os.Args[1:]
	query, rows, repeats := arguments[3], number(arguments[4]), number(arguments[5])
	ctx := context.Background()
	driver, err := neo4j.NewDriverWithContext(arguments[0], neo4j.BasicAuth(arguments[1], arguments[2], ""))
	fail(err)
	session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j", AccessMode: neo4j.AccessModeRead})
	read(ctx, session, query, rows)
	var total sums
	userBefore, systemBefore := cpu()
	began := time.Now()
	for i := 0; i < repeats; i++ {
		s := read(ctx, session, query, rows)
		total.rows += s.rows
		total.ints += s.ints
		total.floats += s.floats
		total.truths += s.truths
		total.lengths += s.lengths
		total.ends += s.ends
	}
	seconds := time.Since(began).Seconds()
	user, system := cpu()
	fail(session.Close(ctx))
	fail(driver.Close(ctx))
	fmt.Printf(`{"rows": %d, "seconds": %.6f, "user_s": %.6f, "system_s": %.6f, "ints": %d, "floats": %.3f, "truths": %d, "lengths": %d, "ends": %d}`+"\n",
		total.rows, seconds, (user - userBefore).Seconds(), (system - systemBefore).Seconds(), total.ints, total.floats, total.truths, total.lengths, total.ends)
}
