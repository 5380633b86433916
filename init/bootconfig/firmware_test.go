package bootconfig

import (
	"encoding/base64"
	"slices"
	"testing"
)

func TestOEMStrings(t *testing.T) {
	whole := smbiosWith("a=1", "b=2")
	for _, test := range []struct {
		name  string
		table []byte
		want  []string
	}{
		{"nothing", nil, nil},
		{"two strings", whole, []string{"a=1", "b=2"}},
		{"no strings", smbiosWith(), nil},
		{"two structures", append(smbiosWith("a=1")[:27+18+5+4+1], smbiosWith("b=2")...), []string{"a=1", "b=2"}},
		{"cut off within the strings", whole[:len(whole)-9], nil},
		{"nothing after the end of the table", append([]byte{smbiosEndOfTable, 4, 0, 0, 0, 0}, whole...), nil},
		{"a structure shorter than its header", []byte{11, 3, 0, 0, 'a', 0, 0}, nil},
		{"a structure longer than the table", []byte{11, 200, 0, 0, 'a', 0, 0}, nil},
	} {
		if got := oemStrings(test.table); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzOEMStrings(f *testing.F) {
	f.Add(smbiosWith("dipper.config=cm9sZTogZGlyZWN0b3IK"))
	f.Add([]byte{11, 5, 0, 0, 1, 'a', 0, 0})
	f.Fuzz(func(t *testing.T, table []byte) {
		total := 0
		for _, text := range oemStrings(table) {
			total += len(text)
		}
		if total > len(table) {
			t.Errorf("%d bytes of strings in a table of %d", total, len(table))
		}
	})
}

func TestSMBIOSPacked(t *testing.T) {
	m := newMachine(t)
	m.oemStrings("dipper.config=" + base64.StdEncoding.EncodeToString(packed(t, []byte("role: director\n"))))
	result, err := m.acquire()
	if err != nil || string(result.Data) != "role: director\n" || result.Source != "SMBIOS: OEM string dipper.config" {
		t.Errorf("got %q from %q, %v", result.Data, result.Source, err)
	}
}

func TestFirmwareFile(t *testing.T) {
	for _, test := range []struct {
		name, size, raw string
		want            string
	}{
		{"as it should be", "15\n", "role: director\n", "found: "},
		{"shorter than its size", "16\n", "role: director\n", "failed: read raw: unexpected EOF"},
		{"longer than its size", "14\n", "role: director\n", "found: "}, // the hypervisor's size counts
		{"too large", "16777217\n", "x", "failed: " + errTooLarge.Error()},
		{"no number", "many\n", "x", `failed: size of the file: strconv.ParseUint: parsing "many": invalid syntax`},
		{"empty", "0\n", "", "absent: it is empty"},
	} {
		m := newMachine(t)
		m.file(firmwareFile+"/size", test.size)
		m.file(firmwareFile+"/raw", test.raw)
		result, _ := m.acquire() // what happens next is not of interest
		step := result.Steps[3]
		if got := string(step.Outcome) + ": " + step.Detail; got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestInitrdIsNoFile(t *testing.T) {
	m := newMachine(t)
	m.file(initrdFile+"/x", "")
	result, _ := m.acquire()
	step := result.Steps[5]
	if step.Source != Initrd || step.Outcome != Failed || step.Detail != "dipper.yaml is not a regular file" {
		t.Errorf("step is %+v", step)
	}
}
