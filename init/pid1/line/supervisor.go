package line

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Handler is what PID 1 does about messages.
type Handler struct {
	Beat    func()
	Up      func()
	End     func(how string) // Reboot or PowerOff
	Unknown func(n int)      // bytes that are no messages
}

// Supervisor is PID 1's end of one child's line.
type Supervisor struct {
	f *os.File
}

// Pair makes a line. The child's end is a plain descriptor, for the child to
// inherit and for the caller to close.
func Pair() (s *Supervisor, child int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("socketpair: %w", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_ = unix.Close(fds[0]) // the first error is the one to tell
		_ = unix.Close(fds[1])
		return nil, -1, fmt.Errorf("socketpair: %w", err)
	}
	return &Supervisor{f: os.NewFile(uintptr(fds[0]), "line")}, fds[1], nil
}

// Serve handles messages until the child's end is closed.
func (s *Supervisor) Serve(h Handler) error { return serve(s.f, h, pause) }

// pause is how long the reader rests after each read. A child that floods its
// line is held up by a full socket, and costs PID 1 fifty reads a second.
const pause = 20 * time.Millisecond

func serve(r io.Reader, h Handler, rest time.Duration) error {
	buffer := make([]byte, 256)
	for {
		n, err := r.Read(buffer)
		dispatch(buffer[:n], h)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line: %w", err)
		}
		time.Sleep(rest)
	}
}

// dispatch handles what one read gave. A beat is a beat however often it is
// in there, and up is up.
func dispatch(messages []byte, h Handler) {
	alive, isUp, unknown := false, false, 0
	for _, m := range messages {
		switch m {
		case beat:
			alive = true
		case up:
			isUp = true
		case reboot:
			h.End(Reboot)
		case powerOff:
			h.End(PowerOff)
		default:
			unknown++
		}
	}
	if alive {
		h.Beat()
	}
	if isUp {
		h.Up()
	}
	if unknown > 0 {
		h.Unknown(unknown)
	}
}

// Withdraw asks the child to withdraw the VIPs and to exit.
func (s *Supervisor) Withdraw() error {
	if err := s.f.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("line: %w", err)
	}
	if _, err := s.f.Write([]byte{withdraw}); err != nil {
		return fmt.Errorf("line: %w", err)
	}
	return nil
}

// Close ends the line.
func (s *Supervisor) Close() {
	// A socket has nothing left to say when it is closed.
	_ = s.f.Close()
}
