// Reads that say which server answered, and writes that are read by their bookmark.
//
// usage: balance URI USER PASSWORD reads WORKERS RATE, or balance URI USER PASSWORD pairs WORKERS FIRST COUNT
//
// tests/fault/balance_load.py says what it does and prints: the two are the same.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

const (
	readQuery   = "MATCH (s:Server), (i:Item {id: $id}) RETURN s.n"
	items       = 100
	pairSeconds = 110 * time.Millisecond
)

var (
	driver neo4j.DriverWithContext
	ctx    = context.Background()
)

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

// The single row of a managed read, and its bookmarks.
func read(query string, id int, bookmarks neo4j.Bookmarks) ([]any, neo4j.Bookmarks, error) {
	session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j", AccessMode: neo4j.AccessModeRead, Bookmarks: bookmarks})
	defer session.Close(ctx)
	row, err := session.ExecuteRead(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		result, err := tx.Run(ctx, query, map[string]any{"id": id})
		if err != nil {
			return nil, err
		}
		record, err := result.Single(ctx)
		if err != nil {
			return nil, err
		}
		return record.Values, nil
	})
	if err != nil {
		return nil, nil, err
	}
	return row.([]any), session.LastBookmarks(), nil
}

func write(id int) (neo4j.Bookmarks, error) {
	session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j"})
	defer session.Close(ctx)
	_, err := session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
		result, err := tx.Run(ctx, "CREATE (:Pair {id: $id})", map[string]any{"id": id})
		if err != nil {
			return nil, err
		}
		return result.Consume(ctx)
	})
	return session.LastBookmarks(), err
}

func reads(workers int, rate int) map[string]any {
	var mutex sync.Mutex
	var ended atomic.Value
	done, failed := [][]any{}, [][]any{}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		draws := rand.New(rand.NewSource(time.Now().UnixNano() + int64(w)))
		go func() {
			defer group.Done()
			due := time.Now()
			for ended.Load() == nil {
				// Who was held up does not make up for it: the rate is never above what was asked for.
				if now := time.Now(); due.Before(now) {
					due = now
				}
				due = due.Add(time.Duration(draws.ExpFloat64() * float64(workers) / float64(rate) * 1e9))
				time.Sleep(time.Until(due))
				began := time.Now()
				begin := float64(began.UnixNano()) / 1e9
				row, _, err := read(readQuery, draws.Intn(items), nil)
				took := time.Since(began).Seconds()
				mutex.Lock()
				if err != nil {
					failed = append(failed, []any{begin, took, err.Error()})
				} else {
					done = append(done, []any{begin, took, row[0]})
				}
				mutex.Unlock()
			}
		}()
	}
	group.Wait()
	return map[string]any{"reads": done, "failed": failed}
}

func pairs(workers int, first int, count int) map[string]any {
	var mutex sync.Mutex
	done, missed, elsewhere, failed, plain := 0, [][]any{}, [][]any{}, []string{}, map[int64]int{}
	pair := func(id int) error {
		written, err := write(id)
		if err != nil {
			return err
		}
		seen, _, err := read("MATCH (s:Server) OPTIONAL MATCH (p:Pair {id: $id}) RETURN count(p), s.n", id, written)
		if err != nil {
			return err
		}
		free, issued, err := read(readQuery, id%items, nil)
		if err != nil {
			return err
		}
		again, _, err := read(readQuery, id%items, issued)
		if err != nil {
			return err
		}
		mutex.Lock()
		defer mutex.Unlock()
		done++
		plain[free[0].(int64)]++
		if seen[0].(int64) != 1 {
			missed = append(missed, []any{id, seen[1], seen[0]})
		}
		if again[0] != free[0] {
			elsewhere = append(elsewhere, []any{free[0], again[0]})
		}
		return nil
	}
	ids := make(chan int)
	go func() {
		for id := first; id < first+count; id++ {
			ids <- id
		}
		close(ids)
	}()
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for id := range ids {
				due := time.Now().Add(pairSeconds)
				if err := pair(id); err != nil {
					mutex.Lock()
					failed = append(failed, fmt.Sprintf("%d: %v", id, err))
					mutex.Unlock()
				}
				time.Sleep(time.Until(due))
			}
		}()
	}
	group.Wait()
	return map[string]any{"done": done, "missed": missed, "elsewhere": elsewhere, "plain": plain, "failed": failed}
}

func main() {
	arguments := os.Args[1:]
	workers, first := number(arguments[4]), number(arguments[5])
	var err error
	driver, err = neo4j.NewDriverWithContext(arguments[0], neo4j.BasicAuth(arguments[1], arguments[2], ""), func(c *config.Config) {
		c.MaxConnectionPoolSize = workers
		c.MaxTransactionRetryTime = 30 * time.Second
	})
	if err != nil {
		panic(err)
	}
	defer driver.Close(ctx)
	var result map[string]any
	if arguments[3] == "reads" {
		result = reads(workers, first)
	} else {
		result = pairs(workers, first, number(arguments[6]))
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		panic(err)
	}
}
