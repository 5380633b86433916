package config

import (
	"fmt"
	"strings"
	"testing"
)

// director writes a director of so many services with so many real servers
// each, as Render does.
func director(services, servers int) string {
	var b strings.Builder
	b.WriteString("role: director\nnetwork: {interfaces: {eth0: {addresses: [10.0.0.1/8]}}}\nservices:\n")
	for s := range services {
		fmt.Fprintf(&b, "  web%d:\n    listen: 10.1.%d.%d:80\n    protocol: tcp\n    scheduler: wlc\n    forward: dr\n    real-servers:\n", s, s/256, s%256)
		for i := range servers {
			fmt.Fprintf(&b, "      - {address: 10.%d.%d.%d, weight: 1}\n", 2+s/256/256, s/250%250, (s*servers+i)%250+1)
		}
	}
	return b.String()
}

// sizes are those between which cost should grow as they do.
var sizes = []int{100, 1000, 10000}

func BenchmarkParse(b *testing.B) {
	for _, services := range sizes {
		src := []byte(director(services, 10))
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				parsed(b, string(src))
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	for _, services := range sizes {
		c := parsed(b, director(services, 10))
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Render(c)
			}
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, services := range sizes {
		src := director(services, 10)
		before, after := parsed(b, src), parsed(b, strings.Replace(src, "weight: 1", "weight: 2", 1))
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if changes := Diff(before, after); len(changes) != 1 {
					b.Fatal(changes)
				}
			}
		})
	}
}

// TestCostIsLinear counts allocations, which follow what is done and, unlike
// time, are the same on every machine: eight times the services may take
// hardly more than eight times of them.
func TestCostIsLinear(t *testing.T) {
	small, large := director(100, 10), director(800, 10)
	for what, do := range map[string]func(src string){
		"parse":  func(src string) { parsed(t, src) },
		"render": func(src string) { Render(parsed(t, src)) },
		"diff":   func(src string) { Diff(parsed(t, src), parsed(t, strings.ReplaceAll(src, "weight: 1", "weight: 2"))) },
	} {
		few, many := testing.AllocsPerRun(1, func() { do(small) }), testing.AllocsPerRun(1, func() { do(large) })
		if many > 8*1.2*few {
			t.Errorf("%s: %.0f allocations for 100 services, %.0f for 800", what, few, many)
		}
	}
}

func TestParseWithin(t *testing.T) {
	src := []byte(director(1000, 10))
	if _, err := ParseWithin("dipper.yaml", src, 64<<20); err != nil {
		t.Error(err)
	}
	const want = "dipper.yaml:1:1: the table needs about 31 MiB of memory, and 16 MiB are free: expected fewer services and real servers, or a machine with more memory"
	if c, err := ParseWithin("dipper.yaml", src, 16<<20); c != nil || err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestTenThousandServices parses, renders and compares the largest table that
// is promised.
func TestTenThousandServices(t *testing.T) {
	src := director(10000, 10)
	c := parsed(t, src)
	again := parsed(t, string(Render(c)))
	again.Services[5000].RealServers[5].Weight = 7
	changes := Diff(c, again)
	if len(c.Services) != 10000 || len(changes) != 1 {
		t.Fatalf("%d services, changes %v", len(c.Services), changes)
	}
}

// BenchmarkYAML sets the plain reader beside the library, on one text.
func BenchmarkYAML(b *testing.B) {
	text := director(500, 10)
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := readPlain(text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readOdd(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
