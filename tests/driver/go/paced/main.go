// Clients of the Go driver that do managed transactions at random times, each at its own pace, and retry.
//
// usage: paced URI CLIENTS RATE BEGIN WARMUP SECONDS SEED DEADLINE QUERY
//
// bench/paced.py says what it does and prints: the two are the same.
package main

import (
	"context"
	"encoding/json"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
	"github.com/neo4j/neo4j-go-driver/v5/neo4j/config"
)

var good, late, failed, retries int64

// Counts the driver's own words about a retry, and notes when the next attempt begins. Each client has a driver of
// its own, so that the words are about its transaction.
type retryLog struct {
	attempt atomic.Value // time.Time
}

func (*retryLog) Error(string, string, error)          {}
func (*retryLog) Warnf(string, string, string, ...any) {}
func (*retryLog) Infof(string, string, string, ...any) {}
func (log *retryLog) Debugf(_ string, _ string, text string, arguments ...any) {
	if strings.HasPrefix(text, "Retrying transaction") {
		begin := time.Now()
		if after, ok := arguments[len(arguments)-1].(time.Duration); ok {
			begin = begin.Add(after)
		}
		log.attempt.Store(begin)
		atomic.AddInt64(&retries, 1)
	}
}

func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// A time in seconds since 1970.
func moment(seconds float64) time.Time {
	return time.Unix(0, int64(seconds*1e9))
}

func client(ctx context.Context, uri string, draws *rand.Rand, pace float64, begin float64, deadline float64, query string) {
	words := &retryLog{}
	driver, err := neo4j.NewDriverWithContext(uri, neo4j.NoAuth(), func(c *config.Config) {
		c.MaxConnectionPoolSize = 1
		c.MaxTransactionRetryTime = 120 * time.Second
		c.Log = words
	})
	if err != nil {
		panic(err)
	}
	due := begin
	for {
		due += draws.ExpFloat64() * pace
		time.Sleep(time.Until(moment(due)))
		words.attempt.Store(time.Now())
		session := driver.NewSession(ctx, neo4j.SessionConfig{})
		_, err := session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			result, err := tx.Run(ctx, query, nil)
			if err != nil {
				return nil, err
			}
			return result.Consume(ctx)
		})
		session.Close(ctx)
		count := &good
		if err != nil {
			count = &failed
		} else if time.Since(words.attempt.Load().(time.Time)).Seconds() > deadline {
			count = &late
		}
		atomic.AddInt64(count, 1)
	}
}

func counts() map[string]int64 {
	return map[string]int64{
		"good":    atomic.LoadInt64(&good),
		"late":    atomic.LoadInt64(&late),
		"failed":  atomic.LoadInt64(&failed),
		"retries": atomic.LoadInt64(&retries),
	}
}

func main() {
	arguments := os.Args[1:]
	clients, rate, begin, warmup, seconds := number(arguments[1]), number(arguments[2]), number(arguments[3]), number(arguments[4]), number(arguments[5])
	ctx := context.Background()
	for i := 0; i < int(clients); i++ {
		draws := rand.New(rand.NewSource(int64(number(arguments[6]))*100003 + int64(i)))
		go client(ctx, arguments[0], draws, clients/rate, begin, number(arguments[7]), arguments[8])
	}
	time.Sleep(time.Until(moment(begin + warmup)))
	before := counts()
	time.Sleep(time.Until(moment(begin + warmup + seconds)))
	after := counts()
	for name := range after {
		after[name] -= before[name]
	}
	if err := json.NewEncoder(os.Stdout).Encode(after); err != nil {
		panic(err)
	}
}
