package config

import (
	"errors"
	"fmt"
)

// Parse reads a configuration. The name stands for the file in errors. A file
// at fault gives Errors, all of its faults in order; the Config is valid and
// complete otherwise.
func Parse(name string, src []byte) (*Config, error) {
	root, err := readYAML(src)
	if err != nil {
		return nil, unreadable(name, src, err)
	}
	d := &decoder{file: name}
	config := d.resolve(d.root(root))
	if len(d.errors) > 0 {
		return nil, d.errors.ordered(src)
	}
	return config, nil
}

// memoryPerByte is how much memory a configuration's table takes for each byte
// of its file: 36 bytes were measured at the peak of reading 100,000 real
// servers, and the kernel and the lists for the shell need nearly as much.
const memoryPerByte = 64

// MemoryFor is about how many bytes of memory the table of a configuration of
// so many bytes takes.
func MemoryFor(size int) uint64 { return uint64(size) * memoryPerByte }

// ParseWithin is Parse on a machine with so many bytes of free memory: a table
// that is larger than that is an error before any of it is read.
func ParseWithin(name string, src []byte, free uint64) (*Config, error) {
	if needed := MemoryFor(len(src)); needed > free && len(src) <= MaxSize {
		return nil, Errors{{File: name, Line: 1, Column: 1,
			Problem:  fmt.Sprintf("the table needs about %d MiB of memory, and %d MiB are free", needed>>20, free>>20),
			Expected: "fewer services and real servers, or a machine with more memory"}}
	}
	return Parse(name, src)
}

// unreadable is the error for a file that is no YAML.
func unreadable(name string, src []byte, err error) error {
	var fault Error
	if !errors.As(err, &fault) {
		fault = Error{Line: 1, Column: 1, Problem: err.Error()}
	}
	fault.File = name
	return Errors{fault}.ordered(src)
}

// root reads the whole file.
func (d *decoder) root(n *node) field[fileConfig] {
	at := place{n.line, n.column, ""}
	top := tableOf((*fileConfig).keys)
	if n.kind != mappingNode {
		bad := wrongKind(n, "a mapping with the keys "+keyNames(top.keys()), missingSpace(n.text))
		bad.problem = "the whole file " + bad.problem
		d.report(at, bad)
		return field[fileConfig]{at: at, given: true}
	}
	return top.read(d, at, n)
}

// resolve checks the values of the file against each other and gives the
// configuration that they make.
func (d *decoder) resolve(root field[fileConfig]) *Config {
	raw := root.value
	r := &resolver{decoder: d, role: raw.role.value}
	if root.valid && !raw.role.given && !d.meant(root.at, "role") {
		d.report(place{1, 1, ""}, fault{problem: "the role is missing", expected: "role: director or role: real-server"})
	}
	config := &Config{Role: raw.role.value, Hostname: raw.hostname.value}
	r.net.uncertain = d.meant(root.at, "network")
	config.Network = r.resolveNetwork(raw.network)
	config.Services = r.resolveServices(raw.services)
	config.IPVS = r.resolveIPVS(raw.ipvs, config.Services, raw.network.value.interfaces)
	config.VirtualAddresses = r.resolveVirtualAddresses(raw.virtualAddresses)
	config.Serve = r.resolveServe(raw.serve, config.VirtualAddresses)
	config.Management = r.resolveManagement(raw.management, raw.network.value.interfaces)
	return config
}

// resolver turns what was written into what it means.
type resolver struct {
	*decoder
	role Role     // "" when it could not be read
	net  topology // filled by resolveNetwork
	vips vipIndex // filled by resolveServices
}

// demand reports a section's missing key, unless it is there misspelled, and
// says whether the value can be used.
func demand[S, T any](d *decoder, section field[S], name string, f field[T], expected string) bool {
	if !f.given && !d.meant(section.at, name) {
		d.report(section.at, fault{problem: fmt.Sprintf("%s is missing", name), expected: expected})
	}
	return f.valid
}

// or gives the value of a field, or a default when the field is not given.
func or[T any](f field[T], otherwise T) T {
	if f.given {
		return f.value
	}
	return otherwise
}

// values gives the valid values of a list.
func values[T any](list field[[]field[T]]) []T {
	var valid []T
	for _, item := range list.value {
		if item.valid {
			valid = append(valid, item.value)
		}
	}
	return valid
}
