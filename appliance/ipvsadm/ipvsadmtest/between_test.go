package ipvsadmtest

import "testing"

const connections = "TCP 14:59  ESTABLISHED 192.168.4.10:40000 192.168.4.5:80     192.168.2.100:80\n"

func TestBetween(t *testing.T) {
	for name, tt := range map[string]struct {
		before, got, after string
		same               bool
	}{
		"nothing moved":           {connections, connections, connections, true},
		"a second passed before":  {at("14:59"), at("14:58"), at("14:58"), true},
		"a second passed after":   {at("14:59"), at("14:59"), at("14:58"), true},
		"a minute passed":         {at("01:01"), at("01:00"), at("00:59"), true},
		"later than both":         {at("14:59"), at("15:00"), at("14:58"), false},
		"earlier than both":       {at("14:59"), at("14:57"), at("14:58"), false},
		"not as both":             {at("14:59"), at("14:58"), at("14:59"), false},
		"seconds beside moving":   {at("14:59"), at("14:58 "), at("14:58"), false},
		"another server":          {"TCP 9 192.168.2.100:80", "TCP 9 192.168.2.101:80", "TCP 8 192.168.2.100:80", false},
		"a state changed":         {"TCP 9 ESTABLISHED", "TCP 8 ESTABLISHED", "TCP 8 FIN_WAIT", false},
		"a line more":             {at("14:59"), at("14:58") + at("14:58"), at("14:58"), false},
		"a line less":             {at("14:59"), "", at("14:58"), false},
		"packets were counted":    {"  -> RS  99", "  -> RS 101", "  -> RS 120", true},
		"in another column":       {"  -> RS  99", "  -> RS  101", "  -> RS 120", false},
		"counted in another unit": {"  -> RS 99999999", "  -> RS  100001K", "  -> RS  100002K", true},
		"in a wrong unit":         {"  -> RS 99999999", "  -> RS  100001M", "  -> RS  100002K", false},
	} {
		if diff := Between(tt.before, tt.got, tt.after); (diff == "") != tt.same {
			t.Errorf("%s: difference %q", name, diff)
		}
	}
}

// at is a connection that expires after a time.
func at(expires string) string {
	return "TCP " + expires + connections[len("TCP 14:59"):]
}
