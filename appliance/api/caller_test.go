package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"dipper/appliance/api"
)

// said is a log that many write to.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// TestStrangersAtTheSocket closes the door to every user but root and its own,
// also where no mode keeps him from the socket: an abstract one has none.
func TestStrangersAtTheSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may be somebody else")
	}
	var log said
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	name := "@dipper-" + strconv.Itoa(os.Getpid())
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- api.Serve(ctx, l, &everything{}) }()
	for _, tt := range []struct {
		uid int
		in  bool
	}{{0, true}, {1, false}, {65534, false}, {65534, false}, {0, true}} {
		answer, err := askAs(tt.uid, name)
		if err != nil {
			t.Fatal(err)
		}
		if in := strings.HasPrefix(answer, "HTTP/1.0 200 OK"); in != tt.in {
			t.Errorf("user %d is answered %q", tt.uid, answer)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	for uid, times := range map[string]int{"uid=1 ": 1, "uid=65534 ": 1, "uid=0 ": 0} {
		if got := strings.Count(log.text.String(), uid); got != times {
			t.Errorf("%s is told of %d times, want %d, in\n%s", uid, got, times, &log.text)
		}
	}
}

// askAs asks the socket for the status as another user. The credentials of one
// thread alone are changed, and it ends with the goroutine.
func askAs(uid int, name string) (answer string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if _, _, no := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); no != 0 {
			err = no
			return
		}
		answer, err = ask(name)
	}()
	<-done
	return answer, err
}

func ask(name string) (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return "", err
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	// Who is refused may find the door closed before he has asked.
	_, err = io.WriteString(file, "GET /v1/status HTTP/1.0\r\n\r\n")
	if err != nil && !errors.Is(err, unix.EPIPE) {
		return "", err
	}
	answer, err := io.ReadAll(file)
	if errors.Is(err, unix.ECONNRESET) {
		err = nil
	}
	return string(answer), err
}
