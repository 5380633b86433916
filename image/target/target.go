// Package target owns the table of architectures that an image can be built
// for: what the Go compiler has to be told for each. The kernel's side of the
// same table is in kernel-config.
package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Target is one architecture.
type Target struct {
	Arch    string // as Go names it
	machine string // the variable that names the oldest processor to run on
}

// The oldest processor is the architecture's baseline: QEMU's default one has
// nothing more.
var targets = map[string]Target{
	"amd64": {Arch: "amd64", machine: "GOAMD64=v1"},
	"arm64": {Arch: "arm64", machine: "GOARM64=v8.0"},
}

// ByArch finds a target by Go's name of its architecture.
func ByArch(arch string) (Target, error) {
	found, ok := targets[arch]
	if !ok {
		return Target{}, fmt.Errorf("architecture %q is not supported: use one of %s",
			arch, strings.Join(slices.Sorted(maps.Keys(targets)), ", "))
	}
	return found, nil
}

// Environment is what every run of the go command for this target has set, as
// NAME=value. GOFLAGS is emptied because it could hold flags that change the
// image; GOWORK because a workspace would replace modules.
func (t Target) Environment() []string {
	return []string{
		"CGO_ENABLED=0",
		"GOOS=linux",
		"GOARCH=" + t.Arch,
		t.machine,
		"GOEXPERIMENT=",
		"GOFLAGS=",
		"GOWORK=off",
	}
}
