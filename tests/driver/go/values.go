package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
)

func show(value any) string {
	text := fmt.Sprintf("%T %v", value, value)
	if len(text) > 200 {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	}
	return text
}

// same knows NaN and tells -0.0 from 0.0.
func same(sent, got any) bool {
	if a, ok := sent.(float64); ok {
		b, ok := got.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b) || ok && math.IsNaN(a) && math.IsNaN(b)
	}
	return reflect.DeepEqual(sent, got)
}

// echo sends each value alone and then all in one list: what was sent must come back equal.
func echo(e *Env, values list) any {
	shown := list{}
	for _, value := range values {
		got := e.run("RETURN $v", obj{"v": value})[0][0]
		check(same(value, got), show(value)+" came back as "+show(got))
		shown = append(shown, show(got))
	}
	all := e.run("RETURN $v", obj{"v": values})[0][0].(list)
	for i := range values {
		check(same(values[i], all[i]), "the list differs")
	}
	return shown
}

var values = []scenario{
	{"values_scalars", func(e *Env) any {
		v := list{nil, true, false, 0.0, math.Copysign(0, -1), 1.1, -1e308, 5e-324, math.Inf(1), math.Inf(-1), math.NaN()}
		for _, i := range []int64{0, 1, -1, -16, -17, 127, 128, -128, -129, 32767, 32768, -32768, -32769, 1<<31 - 1, 1 << 31, -1 << 31,
			-1<<31 - 1, math.MaxInt64, math.MinInt64} {
			v = append(v, i)
		}
		return echo(e, v)
	}},
	{"values_strings", func(e *Env) any {
		v := list{strings.Repeat("é", 8), "\x00", "日本語", "😀👩‍👩‍👧", "a\r\n\t\"'\\"}
		for _, n := range []int{0, 1, 15, 16, 255, 256, 65535, 65536, 100000} {
			v = append(v, strings.Repeat("x", n))
		}
		return echo(e, v)
	}},
	{"values_bytes", func(e *Env) any {
		v := list{}
		for _, n := range []int{0, 1, 255, 256, 65535, 65536, 70000} {
			v = append(v, bytes.Repeat([]byte{0xfe}, n))
		}
		return echo(e, v)
	}},
	{"values_containers", func(e *Env) any {
		var nested any = int64(1)
		for i := 0; i < 20; i++ {
			nested = list{obj{"deeper": nested}}
		}
		v := list{nested, obj{"": int64(0)}, list{nil}}
		for _, n := range []int{0, 15, 16, 255, 256, 20000} {
			l := list{}
			m := obj{}
			for i := 0; i < n; i++ {
				l = append(l, int64(i))
				m[fmt.Sprint("k", i)] = int64(i)
			}
			v = append(v, l, m)
		}
		return echo(e, v)
	}},
	{"values_graph", func(e *Env) any {
		row := e.run("CREATE p = (a:"+e.label+" {name: 'a'})-[:KNOWS {since: 2000}]->(:"+e.label+" {name: 'b'})<-[:KNOWS]-(:"+e.label+") RETURN p", nil)[0]
		p := row[0].(neo4j.Path)
		check(p.Relationships[0].StartElementId == p.Nodes[0].ElementId, "start")
		shown := list{}
		for _, n := range p.Nodes {
			shown = append(shown, list{e.clean(n.Labels[0]), n.Props})
		}
		for _, r := range p.Relationships {
			shown = append(shown, list{r.Type, r.Props})
		}
		return shown
	}},
	{"values_temporal", func(e *Env) any {
		offset := time.FixedZone("Offset", -12600)
		paris := must(time.LoadLocation("Europe/Paris"))
		day := time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.UTC)
		shown := list{}
		for _, v := range (list{neo4j.DateOf(day), neo4j.LocalTimeOf(day), neo4j.LocalDateTimeOf(day), neo4j.OffsetTimeOf(day.In(offset)),
			day.In(offset), day.In(paris), neo4j.DurationOf(1, -2, 3, 4), neo4j.DurationOf(-14, 400, -1, 1)}) {
			row := e.run("RETURN $v, toString($v)", obj{"v": v})[0]
			check(fmt.Sprintf("%T %v", row[0], row[0]) != "" && strings.HasPrefix(fmt.Sprintf("%T", row[0]), fmt.Sprintf("%T", v)), "type of "+show(v))
			shown = append(shown, show(row[0]), row[1])
		}
		return shown
	}},
	{"values_spatial", func(e *Env) any {
		return echo(e, list{neo4j.Point2D{X: 1.5, Y: -2.5, SpatialRefId: 7203}, neo4j.Point3D{X: 1, Y: 2, Z: 3, SpatialRefId: 9157},
			neo4j.Point2D{X: 12.99, Y: 55.6, SpatialRefId: 4326}, neo4j.Point3D{X: 12.99, Y: 55.6, Z: 100, SpatialRefId: 4979}})
	}},
	{"values_vector", func(e *Env) any {
		if len(e.serverMajor) < 4 {
			return "not on this server"
		}
		return show(e.run("CYPHER 25 RETURN vector([1, 2, 3], 3, INTEGER8)", nil)[0][0])
	}},
	{"values_large", func(e *Env) any {
		shown := list{}
		for _, n := range []int{10_000, 300_000, 4_000_000} {
			sent := strings.Repeat("abcdefghij", n/10)
			row := e.run("RETURN $v, size($v)", obj{"v": sent})[0]
			check(row[0] == sent, "the large string differs")
			shown = append(shown, row[1])
		}
		big := e.run("RETURN reduce(s = $s, i IN range(1, 4) | s + s)", obj{"s": strings.Repeat("0123456789abcdef", 20480)})[0][0].(string)
		return append(shown, len(big))
	}},
}
