package kernel

import (
	"context"
	"fmt"
	"os"
)

// Resolved is what Kconfig makes of the fragments, without a build.
type Resolved struct {
	Want []Option // what the fragments ask for
	Got  Config   // what a kernel would be built with
	Tree string   // the unpacked source
}

// Resolve merges the fragments in a temporary directory; it takes seconds, and
// does not disturb a build. The result is not verified.
func Resolve(ctx context.Context, o Options) (Resolved, error) {
	options, err := ReadFragments(o.Fragments, o.Arch.name)
	if err != nil {
		return Resolved{}, err
	}
	source, err := FindSource(ctx)
	if err != nil {
		return Resolved{}, err
	}
	if err := CheckTools(ctx); err != nil {
		return Resolved{}, err
	}
	tree, err := source.Unpack(ctx, o.Cache, o.Progress)
	if err != nil {
		return Resolved{}, err
	}
	object, err := os.MkdirTemp("", "dipper-kconfig-")
	if err != nil {
		return Resolved{}, fmt.Errorf("kernel configuration: %w", err)
	}
	defer os.RemoveAll(object)
	config, err := Configure(ctx, o.Arch, tree, object, options)
	return Resolved{Want: options, Got: config, Tree: tree}, err
}
