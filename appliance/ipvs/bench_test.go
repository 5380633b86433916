package ipvs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// benchmarkSizes are numbers of services with ten real servers each. What an
// operation of these benchmarks costs is for one entry of the table, so that
// its growth from one size to the other can be read off.
var benchmarkSizes = [...]int{1000, 10000}

const benchmarkServers = 10

func benchmarkTable(services int) Table {
	var t Table
	for i := range services {
		s := Service{Key: Key{Protocol: TCP, Address: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Port: 80}, Scheduler: "wrr"}
		for j := range benchmarkServers {
			s.RealServers = append(s.RealServers, RealServer{
				Address: netip.AddrFrom4([4]byte{10, 2, 0, byte(j + 1)}), Port: 80, Forward: DR, Weight: 1,
			})
		}
		t.Services = append(t.Services, s)
	}
	return t
}

// perEntry runs work on tables of each size.
func perEntry(b *testing.B, work func(b *testing.B, t Table)) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("%dx%d", size, benchmarkServers), func(b *testing.B) {
			t := benchmarkTable(size)
			b.ReportAllocs()
			b.ResetTimer()
			work(b, t)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(t.entries()), "ns/entry")
		})
	}
}

func BenchmarkPlanLoad(b *testing.B) {
	perEntry(b, func(b *testing.B, t Table) {
		for range b.N {
			if got := len(Plan(Table{}, t)); got != t.entries() {
				b.Fatal(got)
			}
		}
	})
}

func BenchmarkPlanNothing(b *testing.B) {
	perEntry(b, func(b *testing.B, t Table) {
		same := t.Canonical()
		for range b.N {
			if got := len(Plan(same, t)); got != 0 {
				b.Fatal(got)
			}
		}
	})
}

// agreeable is a socket to a kernel that does nothing and finds everything
// well; dumps show a table.
type agreeable struct {
	services, servers, done []byte
	pending                 [][]byte
}

func (a *agreeable) SetDeadline(time.Time) error { return nil }
func (a *agreeable) Close() error                { return nil }

func (a *agreeable) Read(b []byte) (int, error) {
	n := copy(b, a.pending[0])
	a.pending = a.pending[1:]
	return n, nil
}

// Write answers the last message of a datagram.
func (a *agreeable) Write(b []byte) (int, error) {
	m := b
	for len(m) > align(int(binary.NativeEndian.Uint32(m))) {
		m = m[align(int(binary.NativeEndian.Uint32(m))):]
	}
	answers := a.done
	if binary.NativeEndian.Uint16(m[4:]) == testFamily {
		answers = a.servers
		if m[messageHeader] == cmdGetService {
			answers = a.services
		}
	}
	for at := 0; at < len(answers); {
		start := at
		for at < len(answers) && at-start < largestAnswer/2 {
			copy(answers[at+8:], m[8:12])
			at += align(int(binary.NativeEndian.Uint32(answers[at:])))
		}
		a.pending = append(a.pending, answers[start:at])
	}
	return len(b), nil
}

func agreeableKernel(t Table) *Kernel {
	message := func(c *conversation, op Op) {
		start := c.begin(0, 0)
		c.out, _ = op.append(c.out)
		c.end(start)
	}
	end := func(c *conversation, kind uint16) []byte {
		start := c.header(kind, 0)
		c.out = append(c.out, 0, 0, 0, 0)
		c.end(start)
		return c.out
	}
	services, servers := &conversation{family: testFamily}, &conversation{family: testFamily}
	for _, s := range t.Services {
		message(services, Op{Kind: AddService, Service: s})
	}
	for _, r := range t.Services[0].RealServers {
		message(servers, Op{Kind: AddRealServer, Service: t.Services[0], RealServer: r})
	}
	a := &agreeable{
		services: end(services, unix.NLMSG_DONE), servers: end(servers, unix.NLMSG_DONE),
		done: end(&conversation{}, unix.NLMSG_ERROR),
	}
	return &Kernel{dial: func() (*conversation, error) {
		return &conversation{connection: a, family: testFamily, version: familyVersion}, nil
	}}
}

func BenchmarkApply(b *testing.B) {
	perEntry(b, func(b *testing.B, t Table) {
		k, ops := agreeableKernel(t), Plan(Table{}, t)
		b.ResetTimer()
		for range b.N {
			if err := k.Apply(b.Context(), ops); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	perEntry(b, func(b *testing.B, t Table) {
		k := agreeableKernel(t)
		b.ResetTimer()
		for range b.N {
			got, err := k.Observe(b.Context())
			if err != nil || got.entries() != t.entries() {
				b.Fatal(got.entries(), err)
			}
		}
	})
}
