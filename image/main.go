// Command image builds the image: kernel, initramfs, their manifest and bill of
// materials, into one directory.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	arch := flag.String("arch", "amd64", "architecture, by its Go name")
	output := flag.String("o", "", "directory to put the image into (default build/ARCH)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "image: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if *output == "" {
		*output = filepath.Join("build", *arch)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *arch, *output); err != nil {
		fmt.Fprintf(os.Stderr, "image: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arch, output string) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	order, err := newOrder(ctx, root, arch, output)
	if err != nil {
		return err
	}
	start := time.Now()
	order.progress = func(format string, args ...any) {
		elapsed := time.Since(start).Round(time.Second)
		fmt.Fprintf(os.Stderr, "image %7s  %s\n", elapsed, fmt.Sprintf(format, args...))
	}
	built, err := order.build(ctx)
	if err != nil {
		return err
	}
	fmt.Print(summary(output, built))
	return nil
}
