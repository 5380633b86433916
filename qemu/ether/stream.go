package ether

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Serve plugs in a connection that carries frames as QEMU's stream backend
// does, each preceded by its length as 32 bits in network order (QEMU,
// net/stream.c), until it ends, ctx does, or something else is plugged in. It
// closes conn. An orderly end is no error.
func (p *Port) Serve(ctx context.Context, conn net.Conn) error {
	this := &plug{deliver: streamWriter(conn), close: sync.OnceFunc(func() { conn.Close() })}
	p.plug(this)
	defer p.unplug(this)
	defer context.AfterFunc(ctx, this.close)()
	return p.receive(bufio.NewReaderSize(conn, 64<<10))
}

// streamWriter ignores errors: the reading side sees the connection's end, and
// a wire never complains to its sender.
func streamWriter(conn net.Conn) func(frame []byte) {
	var buffer []byte
	return func(frame []byte) {
		buffer = binary.BigEndian.AppendUint32(buffer[:0], uint32(len(frame)))
		buffer = append(buffer, frame...)
		_, _ = conn.Write(buffer)
	}
}

func (p *Port) receive(r io.Reader) error {
	for {
		frame, err := readFrame(r)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
			return nil
		case err != nil:
			return fmt.Errorf("port %s: %w", p.name, err)
		}
		p.in.put(frame, time.Now())
	}
}

// readFrame returns io.EOF only between frames.
func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrameLen {
		return nil, fmt.Errorf("frame of %d bytes: not a stream of frames (at most %d)", n, maxFrameLen)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, fmt.Errorf("frame of %d bytes: %w", n, noEOF(err))
	}
	return frame, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Listen offers the port on a unix socket, for -netdev stream,server=off, until
// ctx ends: a machine that connects again, or another one, takes over. The
// socket exists when Listen returns; the function returned waits for the end
// and gives its reason, nil if it was ctx.
func (p *Port) Listen(ctx context.Context, path string) (wait func() error, err error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("port %s: %w", p.name, err)
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- p.accept(ctx, listener)
	}()
	return sync.OnceValue(func() error { return <-ended }), nil
}

func (p *Port) accept(ctx context.Context, listener net.Listener) error {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("port %s: %w", p.name, err)
		}
		// A connection that breaks off is a machine that was switched off.
		serving.Go(func() { _ = p.Serve(ctx, conn) })
	}
}
