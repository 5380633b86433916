package bootconfig

import (
	"strings"
	"testing"
)

func TestLastValue(t *testing.T) {
	for _, test := range []struct {
		line, want string
		ok         bool
	}{
		{"", "", false},
		{"quiet console=ttyS0", "", false},
		{"dipper.config", "", false},
		{"dipper.config=", "", true},
		{"quiet dipper.config=none\n", "none", true},
		{"dipper.config=none dipper.config=label:A", "label:A", true},
		{`dipper.config="label:MY VOLUME" quiet`, "label:MY VOLUME", true},
		{`"dipper.config=label:MY VOLUME" quiet`, "label:MY VOLUME", true},
		{`dyndbg="file a.c +p" dipper.config=http://h/?a=b`, "http://h/?a=b", true},
		{`x="dipper.config=none"`, "", false},
		{`x="a dipper.config=none b"`, "", false},
		{"xdipper.config=none", "", false},
		{"dipper.configs=none", "", false},
		{"\tdipper.config=none\t", "none", true},
		{`dipper.config="`, "", true},
		{`dipper.config="unclosed value`, "unclosed value", true},
		{`dipper.config=http://h/${mac}.yaml`, "http://h/${mac}.yaml", true},
		{`dipper.config=a"b c"d`, `a"b c"d`, true}, // as the kernel: quotes inside stay
	} {
		value, ok := lastValue(test.line, parameter)
		if value != test.want || ok != test.ok {
			t.Errorf("%q: got %q, %t, want %q, %t", test.line, value, ok, test.want, test.ok)
		}
	}
}

func FuzzLastValue(f *testing.F) {
	f.Add(`quiet dipper.config="label:MY VOLUME" x="`)
	f.Add(`"dipper.config=none`)
	f.Add(`dipper.config="`)
	f.Fuzz(func(t *testing.T, line string) {
		value, ok := lastValue(line, parameter)
		if ok && !strings.Contains(line, value) {
			t.Errorf("value %q is not in %q", value, line)
		}
		if value, ok := lastValue(line+"\" dipper.config=none", parameter); strings.Count(line, `"`)%2 == 1 && (!ok || value != "none") {
			t.Errorf("the last of %q is %q, %t", line, value, ok)
		}
	})
}
