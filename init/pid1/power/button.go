// Package power owns the power button: it hears of ACPI events over generic
// netlink, which needs no device node and no daemon. What a press means is its
// caller's decision.
package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// Names and numbers of ACPI's generic netlink family (drivers/acpi/event.c).
const (
	family     = "acpi_event"
	group      = "acpi_mc_group"
	eventCmd   = 1 // ACPI_GENL_CMD_EVENT
	eventAttr  = 1 // ACPI_GENL_ATTR_EVENT
	classLen   = 20
	buttonName = "button/power"
)

// ErrNone is what Listen says on a machine without ACPI events.
var ErrNone = errors.New("the kernel has no ACPI events")

// Button is a subscription to the machine's ACPI events. The kernel tells nobody
// of a press that came before it, but counts most of them: see Pressed.
type Button struct{ conn *genetlink.Conn }

// Listen subscribes: from here on no press is lost, unless there are more of
// them than the socket's buffer holds.
func Listen() (*Button, error) {
	conn, err := genetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("power button: %w", err)
	}
	if err := join(conn); err != nil {
		_ = conn.Close() // a read-only socket has nothing to lose
		return nil, err
	}
	return &Button{conn}, nil
}

// Watch calls pressed for every press since Listen until ctx ends, which closes
// the button. A hypervisor's "shut down" is such a press.
func (b *Button) Watch(ctx context.Context, pressed func()) error {
	defer context.AfterFunc(ctx, func() { _ = b.conn.Close() })() // nothing to lose, as above
	for {
		messages, _, err := b.conn.Receive()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			_ = b.conn.Close() // as above
			return fmt.Errorf("power button: %w", err)
		}
		for _, m := range messages {
			if isPress(m) {
				pressed()
			}
		}
	}
}

// join subscribes to the kernel's ACPI events.
func join(conn *genetlink.Conn) error {
	f, err := conn.GetFamily(family)
	if errors.Is(err, os.ErrNotExist) {
		return ErrNone
	}
	if err != nil {
		return fmt.Errorf("power button: %w", err)
	}
	for _, g := range f.Groups {
		if g.Name == group {
			return conn.JoinGroup(g.ID)
		}
	}
	return ErrNone
}

// count is where the kernel counts presses of a power button that is a fixed
// feature of the chipset, below /sys/firmware/acpi (drivers/acpi/sysfs.c). Of
// virtual machines it mostly is. A button that is a device of its own (PNP0C0C)
// is not counted.
const count = "interrupts/ff_pwr_btn"

// Pressed tells whether the button was pressed since the kernel's start, as far
// as acpi, which is /sys/firmware/acpi, counts that. Asked right after Listen,
// it knows of the presses that nobody listened to, and perhaps of one that
// Watch tells, too.
func Pressed(acpi fs.FS) (bool, error) {
	text, err := fs.ReadFile(acpi, count)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("power button: %w", err)
	}
	// "       1  EN     enabled      unmasked"
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	presses, err := strconv.ParseUint(first, 10, 32)
	if err != nil {
		return false, fmt.Errorf("power button: %s: expected a number of presses first: %q", count, text)
	}
	return presses > 0, nil
}

// isPress tells a press of a power button from other ACPI events. An event is
// a struct acpi_genl_event, which begins with the device class as a string of
// at most 20 bytes (drivers/acpi/event.c).
func isPress(m genetlink.Message) bool {
	if m.Header.Command != eventCmd {
		return false
	}
	d, err := netlink.NewAttributeDecoder(m.Data)
	if err != nil {
		return false
	}
	press := false
	for d.Next() {
		if event := d.Bytes(); d.Type() == eventAttr && len(event) >= classLen {
			class, _, _ := bytes.Cut(event[:classLen], []byte{0})
			press = press || bytes.HasPrefix(class, []byte(buttonName))
		}
	}
	return press && d.Err() == nil
}
