// Calls one unary gRPC method again and again from many callers, each with the next message of a file, and
// prints one line of JSON: rate, latency, statuses, and what it cost itself.
//
// It speaks HTTP/2 itself, one goroutine a connection: a call costs it a few µs, where a client of gRPC costs
// as much as the server that is to be measured. Messages and answers are bytes, so any method can be called.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	bufferBytes  = 64 << 10
	windowBytes  = 1<<31 - 1
	topUpBytes   = 1 << 30
	usualWindow  = 65_535
	prefixBytes  = 5 // of a message of gRPC: whether it is compressed, and its length
	noStatusSent = "none"
)

// load is what all connections share: the messages, and when to stop.
type load struct {
	path, host, timeout string
	bodies              [][]byte
	until               time.Time
}

// figures is what is printed.
type figures struct {
	Calls     int            `json:"calls"`
	Seconds   float64        `json:"seconds"`
	Rate      float64        `json:"rate"`
	P50Ms     float64        `json:"p50_ms"`
	P99Ms     float64        `json:"p99_ms"`
	WorstMs   float64        `json:"worst_ms"`
	OwnCpuUs  float64        `json:"own_cpu_us"`
	Statuses  map[string]int `json:"statuses"`
	latencies []time.Duration
}

// connection has a number of callers, each with one call in flight until the time is over.
type connection struct {
	load      *load
	framer    *http2.Framer
	in        *bufio.Reader
	out       *bufio.Writer
	decoder   *hpack.Decoder
	headers   []byte
	next      int // the message that the next call sends
	step      int
	stream    uint32 // of the last call; those of clients are odd
	window    int64  // what the server lets us send
	taken     int    // what it has sent since we last told it to go on
	waiting   int    // callers that wait for the window
	begun     map[uint32]time.Time
	status    string
	statuses  map[string]int
	latencies []time.Duration
}

func main() {
	address := flag.String("address", "127.0.0.1:50051", "host:port, or unix:PATH, without TLS")
	path := flag.String("path", "/staunch.v1.PredictionService/Predict", "the method")
	bodies := flag.String("bodies", "", "file of messages, each behind its length, 4 bytes big-endian")
	callers := flag.Int("callers", 64, "calls in flight at once")
	connections := flag.Int("connections", 8, "connections that they share")
	seconds := flag.Float64("seconds", 5, "how long")
	timeout := flag.String("timeout", "10S", "grpc-timeout of each call; empty is none")
	flag.Parse()
	found, err := run(*address, *bodies, *callers, *connections, *seconds, &load{path: *path, timeout: *timeout})
	if err != nil {
		fmt.Fprintln(os.Stderr, "generator:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}

func run(address, bodies string, callers, connections int, seconds float64, l *load) (*figures, error) {
	var err error
	if l.bodies, err = read(bodies); err != nil {
		return nil, err
	}
	if callers < connections || connections < 1 {
		return nil, fmt.Errorf("expected at least one caller a connection, got %d for %d", callers, connections)
	}
	network := "tcp"
	l.host = address
	if strings.HasPrefix(address, "unix:") {
		network, address, l.host = "unix", strings.TrimPrefix(address, "unix:"), "localhost"
	}
	started := time.Now()
	l.until = started.Add(time.Duration(seconds * float64(time.Second)))
	all := make([]*connection, connections)
	errs := make([]error, connections)
	var ended sync.WaitGroup
	for i := range all {
		all[i] = &connection{load: l, next: i, step: connections, stream: ^uint32(0)}
		share := callers / connections
		if i < callers%connections {
			share++
		}
		ended.Add(1)
		go func() {
			defer ended.Done()
			errs[i] = all[i].call(network, address, share)
		}()
	}
	ended.Wait()
	return sum(all, time.Since(started)), errors.Join(errs...)
}

// read takes the messages and makes them frames' contents.
func read(file string) ([][]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("expected a file of messages: %w", err)
	}
	var found [][]byte
	for len(raw) >= 4 {
		size := int(binary.BigEndian.Uint32(raw))
		if len(raw) < 4+size {
			break
		}
		found = append(found, append([]byte{0}, raw[:4+size]...)) // not compressed, length, message
		raw = raw[4+size:]
	}
	if len(raw) != 0 || len(found) == 0 {
		return nil, fmt.Errorf("%s: expected messages, each behind its length", file)
	}
	return found, nil
}

func (c *connection) call(network, address string, callers int) error {
	wire, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	defer wire.Close()
	c.in, c.out = bufio.NewReaderSize(wire, bufferBytes), bufio.NewWriterSize(wire, bufferBytes)
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.decoder = hpack.NewDecoder(4096, c.note)
	c.begun, c.statuses, c.window, c.waiting = map[uint32]time.Time{}, map[string]int{}, usualWindow, callers
	io.WriteString(c.out, http2.ClientPreface)
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: windowBytes})
	c.framer.WriteWindowUpdate(0, windowBytes-usualWindow)
	c.begin()
	for len(c.begun) > 0 {
		if c.in.Buffered() == 0 {
			if err := c.out.Flush(); err != nil {
				return err
			}
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := c.take(frame); err != nil {
			return err
		}
		c.begin()
	}
	return nil
}

// begin sends a call for each caller that waits, as far as the server lets us.
func (c *connection) begin() {
	for c.waiting > 0 {
		now := time.Now()
		if now.After(c.load.until) {
			return
		}
		body := c.load.bodies[c.next%len(c.load.bodies)]
		if int64(len(body)) > c.window {
			return
		}
		c.next += c.step
		c.window -= int64(len(body))
		c.waiting--
		c.stream += 2
		c.begun[c.stream] = now
		c.framer.WriteHeaders(http2.HeadersFrameParam{
			StreamID: c.stream, BlockFragment: c.block(), EndHeaders: true,
		})
		c.framer.WriteData(c.stream, true, body)
	}
}

// block encodes the headers of a call: the first time they enter the server's table, then all are places in it.
func (c *connection) block() []byte {
	if len(c.headers) > 0 {
		return c.headers
	}
	var raw strings.Builder
	encoder := hpack.NewEncoder(&raw)
	fields := [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", c.load.path}, {":authority", c.load.host},
		{"te", "trailers"}, {"content-type", "application/grpc"}, {"user-agent", "staunch-generator"},
	}
	if c.load.timeout != "" {
		fields = append(fields, [2]string{"grpc-timeout", c.load.timeout})
	}
	encode := func() []byte {
		raw.Reset()
		for _, each := range fields {
			encoder.WriteField(hpack.HeaderField{Name: each[0], Value: each[1]})
		}
		return []byte(raw.String())
	}
	first := encode()
	c.headers = encode()
	return first
}

func (c *connection) take(frame http2.Frame) error {
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		c.status = noStatusSent
		if _, err := c.decoder.Write(frame.HeaderBlockFragment()); err != nil {
			return err
		}
		if frame.StreamEnded() {
			c.end(frame.StreamID, c.status)
		}
	case *http2.DataFrame:
		if c.taken += int(frame.Length); c.taken > topUpBytes {
			c.framer.WriteWindowUpdate(0, uint32(c.taken))
			c.taken = 0
		}
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.window += int64(frame.Increment)
		}
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			c.framer.WritePing(true, frame.Data)
		}
	case *http2.RSTStreamFrame:
		c.end(frame.StreamID, "reset: "+frame.ErrCode.String())
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server closes the connection: %v %s", frame.ErrCode, frame.DebugData())
	}
	return nil
}

func (c *connection) note(field hpack.HeaderField) {
	if field.Name == "grpc-status" {
		c.status = field.Value
	}
}

func (c *connection) end(stream uint32, status string) {
	begun, open := c.begun[stream]
	if !open {
		return
	}
	delete(c.begun, stream)
	c.statuses[status]++
	c.latencies = append(c.latencies, time.Since(begun))
	c.waiting++
}

func sum(all []*connection, took time.Duration) *figures {
	found := &figures{Seconds: took.Seconds(), Statuses: map[string]int{}}
	for _, each := range all {
		found.latencies = append(found.latencies, each.latencies...)
		for status, count := range each.statuses {
			found.Statuses[status] += count
		}
	}
	sorted := found.latencies
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	found.Calls = len(sorted)
	if found.Calls == 0 {
		return found
	}
	at := func(share float64) float64 {
		return float64(sorted[int(share*float64(len(sorted)-1))].Microseconds()) / 1e3
	}
	found.P50Ms, found.P99Ms, found.WorstMs = at(0.5), at(0.99), at(1)
	found.Rate = float64(found.Calls) / found.Seconds
	var used syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	cpu := time.Duration(used.Utime.Nano() + used.Stime.Nano())
	found.OwnCpuUs = float64(cpu.Microseconds()) / float64(found.Calls)
	return found
}
