package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dipper/qemu/lab"
)

// find reaches a cluster that runLab of another process keeps up.
func find(scenario string) (*lab.Remote, error) {
	root, err := lab.Root()
	if err != nil {
		return nil, err
	}
	return lab.Find(filepath.Join(root, labDir(filepath.Base(scenario))))
}

// runExec runs a command in a peer and ends with its status.
func runExec(ctx context.Context, arguments []string) error {
	remote, err := find(arguments[0])
	if err != nil {
		return err
	}
	answer, err := remote.Run(ctx, arguments[1], strings.Join(arguments[2:], " "))
	if err != nil {
		return err
	}
	fmt.Print(answer.Stdout)
	fmt.Fprint(os.Stderr, answer.Stderr)
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	if answer.Exit != 0 {
		return exitStatus(answer.Exit)
	}
	return nil
}

// runControl asks an appliance and prints its answer.
func runControl(ctx context.Context, arguments []string) error {
	remote, err := find(arguments[0])
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return remote.Control(ctx, arguments[1])
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dipper/"+strings.TrimPrefix(arguments[2], "/"), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the appliance answers %s", response.Status)
	}
	return nil
}

// runDo acts on a machine or on a wire.
func runDo(ctx context.Context, arguments []string) error {
	remote, err := find(arguments[0])
	if err != nil {
		return err
	}
	return remote.Do(ctx, arguments[1], arguments[2])
}

// endKey is Ctrl-], as in telnet.
const endKey = 0x1d

// runConsole connects the terminal to a machine's console.
func runConsole(ctx context.Context, arguments []string) error {
	remote, err := find(arguments[0])
	if err != nil {
		return err
	}
	conn, err := remote.Terminal(ctx, arguments[1])
	if err != nil {
		return err
	}
	defer conn.Close()
	restore, err := raw(int(os.Stdin.Fd()))
	if err != nil {
		return err
	}
	defer restore()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() {
		_ = typeUntilEnd(conn, os.Stdin) // either way the console is done with
		conn.Close()
	}()
	if _, err := io.Copy(os.Stdout, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// typeUntilEnd copies keys until endKey.
func typeUntilEnd(to io.Writer, keys io.Reader) error {
	buffer := make([]byte, 256)
	for {
		n, err := keys.Read(buffer)
		typed, _, ended := bytes.Cut(buffer[:n], []byte{endKey})
		if _, err := to.Write(typed); err != nil {
			return err
		}
		if ended || err != nil {
			return err
		}
	}
}

// raw makes a terminal send every key as it is. What is no terminal stays as it
// is.
func raw(fd int) (restore func(), err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if errors.Is(err, unix.ENOTTY) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	state := *before
	state.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.ISTRIP | unix.ICRNL | unix.INLCR | unix.IXON
	state.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG | unix.IEXTEN
	state.Cc[unix.VMIN], state.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &state); err != nil {
		return nil, err
	}
	// A terminal that is gone needs no restoring.
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}
