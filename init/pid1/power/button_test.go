package power

import (
	"testing"
	"testing/fstest"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// event builds the message of an ACPI event as drivers/acpi/event.c does:
// struct acpi_genl_event is class[20], bus id[15], a byte of padding, and two
// 32-bit numbers.
func event(command uint8, attribute uint16, class string) genetlink.Message {
	raw := make([]byte, 44)
	copy(raw[:classLen], class)
	copy(raw[classLen:], "LNXPWRBN:00")
	data, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attribute, Data: raw}})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return genetlink.Message{Header: genetlink.Header{Command: command, Version: 1}, Data: data}
}

func TestIsPress(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    genetlink.Message
		want bool
	}{
		{"power button", event(1, 1, "button/power"), true},
		{"lid", event(1, 1, "button/lid"), false},
		{"sleep button", event(1, 1, "button/sleep"), false},
		{"battery", event(1, 1, "battery"), false},
		{"a class that fills its field", event(1, 1, "abcdefghijklmnopqrstuvwxyz"), false},
		{"another command", event(2, 1, "button/power"), false},
		{"another attribute", event(1, 2, "button/power"), false},
		{"nothing", genetlink.Message{Header: genetlink.Header{Command: 1}}, false},
	} {
		if got := isPress(tt.m); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestPressed(t *testing.T) {
	for _, tt := range []struct {
		name, count string
		want        bool
		wantErr     bool
	}{
		{"never", "       0  EN     enabled      unmasked\n", false, false},
		{"once", "       1  EN     enabled      unmasked\n", true, false},
		{"often", "12345678  EN STS enabled      unmasked\n", true, false},
		{"no such button", "       0     invalid      unmasked\n", false, false},
		{"empty", "", false, true},
		{"no number", "many\n", false, true},
	} {
		got, err := Pressed(fstest.MapFS{count: {Data: []byte(tt.count)}})
		if got != tt.want || (err != nil) != tt.wantErr {
			t.Errorf("%s: %t, %v", tt.name, got, err)
		}
	}
	if got, err := Pressed(fstest.MapFS{}); got || err != nil {
		t.Errorf("nobody counts: %t, %v", got, err)
	}
}

func FuzzIsPress(f *testing.F) {
	f.Add(event(1, 1, "button/power").Data)
	f.Add([]byte{})
	f.Add([]byte{4, 0, 1, 0})
	f.Add([]byte{255, 255, 1, 0, 'b'})
	f.Fuzz(func(t *testing.T, data []byte) {
		isPress(genetlink.Message{Header: genetlink.Header{Command: 1}, Data: data})
	})
}
