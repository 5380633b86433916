package shell

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dipper/shell/session"
)

// Consoles lists the devices of the kernel's consoles, from
// /sys/class/tty/console/active. The screen is the first virtual terminal.
func Consoles() ([]string, error) { return consolesIn("/sys/class/tty/console/active", "/dev") }

func consolesIn(active, dev string) ([]string, error) {
	text, err := os.ReadFile(active)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no terminals at all
	}
	if err != nil {
		return nil, fmt.Errorf("consoles: %w", err)
	}
	var devices []string
	for _, name := range strings.Fields(string(text)) {
		if name == "tty0" {
			name = "tty1"
		}
		devices = append(devices, filepath.Join(dev, name))
	}
	return devices, nil
}

// writePatience is how long a device may take a write. It stalls when somebody
// presses Scroll Lock or ^S, or when nobody is at the other end of a serial
// line with flow control.
const writePatience = 10 * time.Second

// device is a tty of the kernel, in raw mode.
type device struct {
	*os.File
	before *unix.Termios
	screen bool
}

// openTTY opens a device and sets it raw: what is typed is not echoed or
// turned into signals, which sessions do themselves.
func openTTY(path string) (tty, error) {
	// Not blocking, so that reads and writes have deadlines and end with Close.
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	d := &device{File: file, screen: strings.HasPrefix(filepath.Base(path), "tty") && !strings.HasPrefix(filepath.Base(path), "ttyS")}
	if err := d.raw(); err != nil {
		return nil, errors.Join(fmt.Errorf("console %s: raw mode: %w", path, err), file.Close())
	}
	return d, nil
}

// control runs f on the descriptor, which stays in the poller that way.
func (d *device) control(f func(fd int) error) error {
	raw, err := d.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func (d *device) raw() error {
	return d.control(func(fd int) error {
		now, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		before := *now
		d.before = &before
		now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		now.Oflag &^= unix.OPOST
		now.Cflag |= unix.CREAD
		now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, now)
	})
}

// Close gives the device back as it was.
func (d *device) Close() error {
	restore := d.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, d.before) })
	if errors.Is(restore, os.ErrClosed) {
		restore = nil
	}
	return errors.Join(restore, d.File.Close())
}

// writeAgain is how long a device that is full is left alone: 115 bytes at
// 115200 baud, of the 4096 that it keeps.
const writeAgain = 10 * time.Millisecond

// Write waits for room by trying again. Being told of room does not work: the
// kernel reports none of a terminal as long as somebody is within write
// (n_tty_poll, tty_is_writelocked), and a UART that empties at once, as QEMU's
// does, is empty before that ends. The poller, which wants to be told of
// changes, waited for ever for the next one.
func (d *device) Write(p []byte) (int, error) {
	written := 0
	for began := time.Now(); written < len(p); {
		n, err := d.writeSome(p[written:])
		written += n
		switch {
		case err == nil:
			began = time.Now()
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EAGAIN):
			return written, fmt.Errorf("console: %w", err)
		case time.Since(began) > writePatience:
			return written, fmt.Errorf("console: nothing was taken for %v", writePatience)
		default:
			time.Sleep(writeAgain)
		}
	}
	return written, nil
}

// writeSome writes what there is room for.
func (d *device) writeSome(p []byte) (n int, err error) {
	err = d.control(func(fd int) error {
		var err error
		n, err = unix.Write(fd, p)
		return err
	})
	return max(n, 0), err
}

// Size is what the kernel knows: it does for a screen, and not for what is at
// the other end of a serial line.
func (d *device) Size() session.Size {
	var size session.Size
	// A device without a size has none.
	_ = d.control(func(fd int) error {
		w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			size = session.Size{Width: int(w.Col), Height: int(w.Row)}
		}
		return err
	})
	return size
}

// Type is what most terminals understand.
func (d *device) Type() string {
	if d.screen {
		return "linux"
	}
	return "vt220"
}

// The severities of the kernel's messages that reach consoles: those below.
const (
	quietLevel = 3 // critical and worse (sys/syslog.h)
	printkFile = "/proc/sys/kernel/printk"
)

// Quiet sets the level below which messages are shown on consoles, for as long
// as somebody works on one.
func (d *device) Quiet() (undo func()) {
	text, err := os.ReadFile(printkFile)
	if err != nil {
		return func() {}
	}
	before, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\t")
	// Messages between the lines are a nuisance, and no more.
	_ = os.WriteFile(printkFile, []byte(fmt.Sprint(quietLevel)), 0)
	return func() { _ = os.WriteFile(printkFile, []byte(before), 0) }
}
