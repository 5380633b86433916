package line

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// attach makes a pair and takes up the child's end as a child does.
func attach(t *testing.T) (*Supervisor, *Line) {
	t.Helper()
	s, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	t.Setenv(Env, strconv.Itoa(child))
	l, err := Attach()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.f.Close() })
	return s, l
}

func TestMessages(t *testing.T) {
	s, l := attach(t)
	heard := make(chan string, 8)
	go func() {
		_ = s.Serve(Handler{
			Beat:    func() { heard <- "beat" },
			Up:      func() { heard <- "up" },
			End:     func(how string) { heard <- how },
			Unknown: func(n int) { heard <- "unknown" },
		})
		close(heard)
	}()
	l.Beat()
	if got := <-heard; got != "beat" {
		t.Errorf("heard %q", got)
	}
	l.Up()
	if got := <-heard; got != "up" {
		t.Errorf("heard %q", got)
	}
	for _, how := range []string{Reboot, PowerOff} {
		if err := l.End(how); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != how {
			t.Errorf("heard %q, want %q", got, how)
		}
	}
	if err := l.End("halt"); err == nil {
		t.Error("End takes what it does not know")
	}
	if err := l.f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, open := <-heard; open {
		t.Errorf("heard %q after the end", got)
	}
}

func TestWithdraw(t *testing.T) {
	s, l := attach(t)
	select {
	case <-l.Withdraw():
		t.Fatal("nobody asked")
	default:
	}
	for range 3 { // again is no other thing
		if err := s.Withdraw(); err != nil {
			t.Fatal(err)
		}
	}
	<-l.Withdraw()
}

// TestNoWithdrawWithoutPID1 wants the VIPs to stay when the other end is gone.
func TestNoWithdrawWithoutPID1(t *testing.T) {
	s, child, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{withdraw: make(chan struct{})}
	s.Close()
	l.f = os.NewFile(uintptr(child), "child")
	l.listen() // returns: the end of the file
	select {
	case <-l.Withdraw():
		t.Error("the end of the line was taken for a wish")
	default:
	}
}

// TestDescriptorIsNotPassedOn wants programs that the control plane starts to
// have no way to speak for it.
func TestDescriptorIsNotPassedOn(t *testing.T) {
	_, l := attach(t)
	flags, err := unix.FcntlInt(l.f.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v", flags, err)
	}
	if _, err := Attach(); !errors.Is(err, ErrNoSupervisor) {
		t.Errorf("a second Attach: %v", err)
	}
}

func TestAttachToNonsense(t *testing.T) {
	for _, value := range []string{"", "x", "-1", "99999"} {
		t.Setenv(Env, value)
		if _, err := Attach(); err == nil || errors.Is(err, ErrNoSupervisor) {
			t.Errorf("%s=%q: %v", Env, value, err)
		}
	}
}

// TestBeatDoesNotBlock wants a control plane to go on when PID 1 does not read.
func TestBeatDoesNotBlock(t *testing.T) {
	_, l := attach(t)
	for { // fill the socket
		if err := l.send(beat); err != nil {
			break
		}
	}
	l.Beat()
}

// FuzzServe feeds bytes, in whatever pieces, and wants each message to be
// heard and every other byte to be counted.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{"", "b", "r", "p", "w", "bbbb", "u", "ubu", "brp", "\x00\xff", "hello\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var beats, ups, unknown int
		var ends []string
		err := serve(bytes.NewReader(in), Handler{
			Beat:    func() { beats++ },
			Up:      func() { ups++ },
			End:     func(how string) { ends = append(ends, how) },
			Unknown: func(n int) { unknown += n },
		}, 0)
		if err != nil {
			t.Fatal(err)
		}
		var wantEnds []string
		wantUnknown := 0
		for _, b := range in {
			switch b {
			case 'b', 'u':
			case 'r':
				wantEnds = append(wantEnds, Reboot)
			case 'p':
				wantEnds = append(wantEnds, PowerOff)
			default:
				wantUnknown++
			}
		}
		if !slices.Equal(ends, wantEnds) || unknown != wantUnknown || (beats > 0) != bytes.ContainsRune(in, 'b') || (ups > 0) != bytes.ContainsRune(in, 'u') {
			t.Errorf("%q: beats %d, ups %d, ends %v, unknown %d", in, beats, ups, ends, unknown)
		}
	})
}

// TestServeReportsErrors wants a broken line to end, with its reason.
func TestServeReportsErrors(t *testing.T) {
	err := serve(broken{}, Handler{}, 0)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("serve on a broken line: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
