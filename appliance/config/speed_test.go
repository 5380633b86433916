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

func BenchmarkParse(b *testing.B) {
	for _, services := range []int{100, 500} {
		src := []byte(director(services, 10))
		b.Run(fmt.Sprintf("%d services", services), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse("dipper.yaml", src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
