package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines are a source's values: "path: value".
func (s *Source) lines(path string) []string {
	var all []string
	if s.Text != "" {
		all = append(all, path+": "+s.Text)
	}
	for _, m := range s.Members {
		all = append(all, m.lines(strings.TrimPrefix(path+"."+m.Name, "."))...)
	}
	for _, item := range s.Items {
		all = append(all, item.lines(path)...)
	}
	return all
}

func TestSalvage(t *testing.T) {
	const src = `role: director
hostname: lb1
network:
  interfaces:
    eth0: {addresses: [192.168.4.5/24, 192.168.4.300/24]}
services:
  web: # the shop
    listen: 192.168.4.15:80
    schedular: wrr
    forward: drr
    real-servers:
      - {address: 192.168.4.100, weight: many}
      - {address: 192.168.4.200, weight: 2}
virtualservers: 3
hostname: lb2
`
	source, left, err := SalvageSource("lb1.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"role: director", "hostname: lb1", "network.interfaces.eth0.addresses: 192.168.4.5/24", "services.web.listen: 192.168.4.15:80",
		"services.web.real-servers.address: 192.168.4.100", "services.web.real-servers.address: 192.168.4.200", "services.web.real-servers.weight: 2",
	}
	if diff := cmp.Diff(want, source.lines("")); diff != "" {
		t.Errorf("salvaged (-want +got):\n%s", diff)
	}
	var lines []int
	for _, e := range left {
		lines = append(lines, e.Line)
	}
	if diff := cmp.Diff([]int{5, 9, 10, 12, 14, 15}, lines); diff != "" {
		t.Errorf("mistakes on lines (-want +got):\n%s\n%v", diff, left)
	}
	if web := source.Members[3].Members[0]; web.Comment != "the shop" {
		t.Errorf("comment of web: %q", web.Comment)
	}
}

// TestSalvageEveryMistake: of each bad configuration either nothing is
// salvaged, because it is no YAML or no mapping, or what is right.
func TestSalvageEveryMistake(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	salvaged := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source, left, err := SalvageSource(file, src)
		_, readable := ReadSource(file, src)
		var mistakes Errors
		switch {
		case err != nil && !errors.As(err, &mistakes):
			t.Errorf("%s: %v", file, err)
		case err != nil && readable == nil:
			t.Errorf("%s can be read, and not be salvaged: %v", file, err)
		case err == nil && (readable == nil) != (len(left) == 0):
			t.Errorf("%s: left out %v, and read it is %v", file, left, readable)
		case err == nil && len(source.Members) > 0:
			salvaged++
		}
	}
	if salvaged < len(files)/2 {
		t.Errorf("something was salvaged of %d among %d", salvaged, len(files))
	}
}

func FuzzSalvage(f *testing.F) {
	f.Add("role: director\nhostname: [a\n")
	f.Add("role: {a: 1, b: [2]}\nservices: {web: {listen: 3, real-servers: [1, {address: x}]}}\n")
	f.Add("- a\n- b\n")
	f.Fuzz(func(t *testing.T, src string) {
		source, left, err := SalvageSource("fuzz", []byte(src))
		if err == nil && source == nil {
			t.Errorf("%q: neither an error nor a source; left out %v", src, left)
		}
	})
}
