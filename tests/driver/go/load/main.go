// Writes unique ids in managed transactions, as many at once as there are workers.
//
// usage: load URI USER PASSWORD LABEL FIRST COUNT WORKERS RETRY_SECONDS
//
// Prints {"ok": [ids], "failed": [[id, type, text]]}. Each node holds the number of
// the attempt that wrote it, so that a driver's own repetition of a COMMIT that
// was not answered can be told from a transaction that was carried out twice.
package main

import (
	"context"
	"encoding/json"
	"fmt"
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
	ids := make(chan int, count)
	for id := first; id < first+count; id++ {
		ids <- id
	}
	close(ids)
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for id := range ids {
				session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j"})
				attempt := 0
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
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"ok": ok, "failed": failed}); err != nil {
		panic(err)
	}
}
