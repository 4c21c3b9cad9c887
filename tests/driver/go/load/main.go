// Writes unique ids in managed transactions, as many at once as there are workers.
//
// usage: load URI USER PASSWORD LABEL FIRST COUNT WORKERS RETRY_SECONDS
//
// COUNT 0: until standard input ends.
// Prints {"ok": [ids], "failed": [[id, type, text]], "longest": seconds}, the longest time that a call of the
// driver took, with all its repetitions. Each node holds the number of
// the attempt that wrote it, so that a driver's own repetition of a COMMIT that
// was not answered can be told from a transaction that was carried out twice.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func main() {
	arguments := os.Args[1:]
	label, first, count, workers, retry := arguments[3], number(arguments[4]), number(arguments[5]), number(arguments[6]), number(arguments[7])
	ctx := context.Background()
	driver, err := neo4j.NewDriverWithContext(arguments[0], neo4j.BasicAuth(arguments[1], arguments[2], ""), func(c *config.Config) {
		c.MaxConnectionPoolSize = workers
		c.MaxTransactionRetryTime = time.Duration(retry) * time.Second
		c.ConnectionAcquisitionTimeout = 5 * time.Minute
		c.SocketConnectTimeout = 30 * time.Second
	})
	if err != nil {
		panic(err)
	}
	defer driver.Close(ctx)

	var mutex sync.Mutex
	ok, failed := []int{}, [][]any{}
	longest := 0.0
	ids := make(chan int)
	ended := make(chan bool)
	if count == 0 {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			close(ended)
		}()
	}
	go func() {
		defer close(ids)
		for id := first; count == 0 || id < first+count; id++ {
			select {
			case ids <- id:
			case <-ended:
				return
			}
		}
	}()
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for id := range ids {
				session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j"})
				attempt := 0
				began := time.Now()
				_, err := session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
					attempt++
					result, err := tx.Run(ctx, "CREATE (:"+label+" {id: $id, attempt: $attempt})", map[string]any{"id": id, "attempt": attempt})
					if err != nil {
						return nil, err
					}
					return result.Consume(ctx)
				})
				session.Close(ctx)
				mutex.Lock()
				longest = math.Max(longest, time.Since(began).Seconds())
				if err == nil {
					ok = append(ok, id)
				} else {
					failed = append(failed, []any{id, fmt.Sprintf("%T", err), err.Error()})
				}
				mutex.Unlock()
			}
		}()
	}
	group.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"ok": ok, "failed": failed, "longest": longest}); err != nil {
		panic(err)
	}
}
