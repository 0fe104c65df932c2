// Loads a server with one unary method by phases, for bench/overload.py, and writes a line of JSON for each.
//
// A phase is "closed:SECONDS" (callers that wait for their answers; its rate is the capacity of this run),
// "open:FACTOR:SECONDS" (calls sent at FACTOR times that capacity, whatever becomes of them) or
// "pause:SECONDS". A call's time and its deadline begin when it should have been sent, so a generator that
// is late does not hide it. The client is grpc-go, so a call beyond the server's limit of streams waits at home.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// raw passes bytes as they are: the generator is to cost little.
type raw struct{}

func (raw) Name() string { return "proto" }
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (raw) Unmarshal(data mem.BufferSlice, v any) error { return nil }

var _ encoding.CodecV2 = raw{}

// phase is what was asked, and what came of it.
type phase struct {
	Kind     string         `json:"kind"`
	Factor   float64        `json:"factor"`
	Seconds  float64        `json:"seconds"`
	Offered  int64          `json:"offered"`
	Good     int64          `json:"good"`
	Codes    map[string]int `json:"codes"`
	P50      float64        `json:"p50_ms"`
	P99      float64        `json:"p99_ms"`
	Late     float64        `json:"late_ms"`
	CPU      float64        `json:"cpu"`
	Quarters []int64        `json:"quarters"`
	// Sent and not yet ended when the phase did: they are counted there all the same.
	Waiting int64 `json:"waiting"`
}

type loader struct {
	connections []*grpc.ClientConn
	method      string
	requests    [][]byte
	deadline    time.Duration
	next        atomic.Int64
}

// tally counts the ends of one phase's calls.
type tally struct {
	sync.Mutex
	start    time.Time
	deadline time.Duration
	codes    map[string]int
	times    []float64
	quarters []int64
	inFlight atomic.Int64
}

func (t *tally) add(err error, since time.Time) {
	now := time.Now()
	t.Lock()
	defer t.Unlock()
	if err != nil {
		t.codes[status.Code(err).String()]++
		return
	}
	if now.Sub(since) > t.deadline { // it came, and the generator was late to see it
		t.codes["OK, late"]++
		return
	}
	t.codes["OK"]++
	t.times = append(t.times, now.Sub(since).Seconds()*1e3)
	quarter := int(now.Sub(t.start) / (250 * time.Millisecond))
	for len(t.quarters) <= quarter {
		t.quarters = append(t.quarters, 0)
	}
	t.quarters[quarter]++
}

// call makes one call whose time began at `since`.
func (l *loader) call(t *tally, since time.Time) {
	n := l.next.Add(1)
	connection := l.connections[int(n)%len(l.connections)]
	request := l.requests[rand.Intn(len(l.requests))]
	ctx, cancel := context.WithDeadline(context.Background(), since.Add(l.deadline))
	defer cancel()
	var answer []byte
	err := connection.Invoke(ctx, l.method, request, &answer)
	t.add(err, since)
}

// closed keeps a number of callers busy.
func (l *loader) closed(t *tally, callers int, length time.Duration) int64 {
	var wait sync.WaitGroup
	var offered atomic.Int64
	for range callers {
		wait.Go(func() {
			for time.Since(t.start) < length {
				offered.Add(1)
				l.call(t, time.Now())
			}
		})
	}
	wait.Wait()
	return offered.Load()
}

// open sends calls at a rate, each when its time has come; it tells how late the latest was sent.
func (l *loader) open(t *tally, rate float64, length time.Duration) (int64, time.Duration, *sync.WaitGroup) {
	var wait sync.WaitGroup
	var late time.Duration
	total := int64(rate * length.Seconds())
	for sent := int64(0); sent < total; {
		elapsed := time.Since(t.start)
		for due := min(total, int64(elapsed.Seconds()*rate)); sent < due; sent++ {
			since := t.start.Add(time.Duration(float64(sent) / rate * 1e9))
			late = max(late, time.Since(since))
			t.inFlight.Add(1)
			wait.Go(func() {
				l.call(t, since)
				t.inFlight.Add(-1)
			})
		}
		time.Sleep(time.Millisecond)
	}
	return total, late, &wait
}

func (l *loader) run(name string, callers int, capacity *float64) phase {
	parts := strings.Split(name, ":")
	seconds, err := strconv.ParseFloat(parts[len(parts)-1], 64)
	if err != nil {
		log.Fatalf("expected closed:SECONDS, open:FACTOR:SECONDS or pause:SECONDS, got %q", name)
	}
	length := time.Duration(seconds * 1e9)
	p := phase{Kind: parts[0], Seconds: seconds}
	before := cpu()
	t := &tally{start: time.Now(), deadline: l.deadline, codes: map[string]int{}}
	switch p.Kind {
	case "closed":
		p.Offered = l.closed(t, callers, length)
		p.Seconds = time.Since(t.start).Seconds()
	case "open":
		p.Factor, _ = strconv.ParseFloat(parts[1], 64)
		var late time.Duration
		var wait *sync.WaitGroup
		p.Offered, late, wait = l.open(t, p.Factor**capacity, length)
		p.Late = late.Seconds() * 1e3
		p.Waiting = t.inFlight.Load()
		wait.Wait()
	case "pause":
		time.Sleep(length)
	default:
		log.Fatalf("unknown kind of phase %q", p.Kind)
	}
	p.CPU = (cpu() - before) / time.Since(t.start).Seconds()
	p.Codes, p.Quarters, p.Good = t.codes, t.quarters, int64(t.codes["OK"])
	sort.Float64s(t.times)
	if n := len(t.times); n > 0 {
		p.P50, p.P99 = t.times[n/2], t.times[n*99/100]
	}
	if p.Kind == "closed" {
		*capacity = float64(p.Good) / p.Seconds
	}
	return p
}

func cpu() float64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

// requests reads ids, one a line, and makes of each the bytes of {int64 customer_id = 2}.
func requests(file string) [][]byte {
	opened, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	defer opened.Close()
	var all [][]byte
	for lines := bufio.NewScanner(opened); lines.Scan(); {
		id, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64)
		if err != nil {
			log.Fatalf("%s: expected a number a line, got %q", file, lines.Text())
		}
		one := []byte{0x10}
		for ; id >= 0x80; id >>= 7 {
			one = append(one, byte(id)|0x80)
		}
		all = append(all, append(one, byte(id)))
	}
	return all
}

func main() {
	server := flag.String("server", "127.0.0.1:50051", "address")
	method := flag.String("method", "/staunch.v1.PredictionService/Predict", "full name")
	ids := flag.String("ids", "eligible.txt", "file of ids, one a line")
	connections := flag.Int("connections", 8, "connections")
	callers := flag.Int("callers", 64, "callers of a closed loop")
	deadline := flag.Duration("deadline", 500*time.Millisecond, "of each call")
	flag.Parse()
	l := &loader{method: *method, requests: requests(*ids), deadline: *deadline}
	for range *connections {
		connection, err := grpc.NewClient(*server,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})),
			grpc.WithDisableServiceConfig())
		if err != nil {
			log.Fatal(err)
		}
		l.connections = append(l.connections, connection)
	}
	l.deadline = 5 * time.Second // connecting takes its time
	var warm sync.WaitGroup
	warming := &tally{codes: map[string]int{}}
	for range *connections {
		warm.Go(func() { l.call(warming, time.Now()) })
	}
	warm.Wait()
	l.deadline = *deadline
	var capacity float64
	for _, name := range flag.Args() {
		fmt.Printf("begin %s\n", name)
		line, _ := json.Marshal(l.run(name, *callers, &capacity))
		fmt.Printf("%s\n", line)
	}
}
