// Command kernel-config builds the kernel of the image from the fragments beside
// it, or takes it from the cache, and puts it where -o says, with its "config" and
// "kernelrelease" beside it.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"dipper/kernel-config/kernel"
)

//go:embed *.config
var fragments embed.FS

func main() {
	arch := flag.String("arch", "amd64", "architecture, by its Go name")
	output := flag.String("o", "", "where to put the kernel (default build/ARCH/vmlinuz)")
	jobs := flag.Int("j", runtime.NumCPU(), "jobs of make")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "kernel-config: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if *output == "" {
		*output = filepath.Join("build", *arch, "vmlinuz")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *arch, *output, *jobs); err != nil {
		fmt.Fprintf(os.Stderr, "kernel-config: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, archName, output string, jobs int) error {
	arch, err := kernel.ForArch(archName)
	if err != nil {
		return err
	}
	cache, err := kernel.DefaultCache()
	if err != nil {
		return err
	}
	built, err := kernel.Build(ctx, kernel.Options{
		Arch: arch, Fragments: fragments, Cache: cache, Jobs: jobs, Progress: printer(time.Now()),
	})
	if err != nil {
		return err
	}
	return built.Install(output)
}

// printer gives progress lines on stderr with the time since start.
func printer(start time.Time) func(string, ...any) {
	return func(format string, args ...any) {
		elapsed := time.Since(start).Round(time.Second)
		fmt.Fprintf(os.Stderr, "kernel %6s  %s\n", elapsed, fmt.Sprintf(format, args...))
	}
}
