package config

import (
	"fmt"
	"strings"
	"testing"
)

// String renders a node in one line, to compare it with a literal.
func (n *node) String() string {
	switch n.kind {
	case mappingNode:
		var parts []string
		for _, e := range n.entries {
			parts = append(parts, fmt.Sprintf("%v: %v", e.key, e.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case sequenceNode:
		return fmt.Sprint(n.items)
	}
	return fmt.Sprintf("%s<%s>", n.text, n.class)
}

func TestReadYAML(t *testing.T) {
	const text, quoted = "<text>", "<quoted text>"
	for _, tt := range []struct{ name, src, want string }{
		{"block", "a: b\nc:\n  - d\n", "{a<text>: b<text>, c<text>: [d<text>]}"},
		{"flow", "a: {b: [1, true, ~, 1.5, 0x10]}\n", "{a<text>: {b<text>: [1<a number> true<true or false> ~<nothing> 1.5<a number with a fraction or in another notation> 0x10<a number with a fraction or in another notation>]}}"},
		{"IPv6 in a list in a mapping", "a: {b: [2001:db8:4::5/64]}\n", "{a" + text + ": {b" + text + ": [2001:db8:4::5/64" + text + "]}}"},
		{"all forms of IPv6", "a: {b: [::1, fe80::1, 2001:db8::, 1:2:3:4:5:6:7:8, ::ffff:1.2.3.4]}\n",
			"{a<text>: {b<text>: [::1<text> fe80::1<text> 2001:db8::<text> 1:2:3:4:5:6:7:8<text> ::ffff:1.2.3.4<text>]}}"},
		{"IPv6 over lines", "a: {b: [\n  2001:db8:4::5,\n  2001:db8:4::6]}\n", "{a<text>: {b<text>: [2001:db8:4::5<text> 2001:db8:4::6<text>]}}"},
		{"address with port", "a: {b: [10.0.0.1:80]}\n", "{a<text>: {b<text>: [10.0.0.1:80<text>]}}"},
		{"MAC", "a: {mac: 52:54:00:00:00:01}\n", "{a<text>: {mac<text>: 52:54:00:00:00:01<text>}}"},
		{"JSON", `{"a":{"b":[1,2],"c":"d","e":3}}`, "{a" + quoted + ": {b" + quoted + ": [1<a number> 2<a number>], c" + quoted + ": d" + quoted + ", e" + quoted + ": 3<a number>}}"},
		{"mapping in a list", "a: [b: 1]\n", "{a<text>: [{b<text>: 1<a number>}]}"},
		{"colon without a space is a word", "a: {b:1}\n", "{a<text>: {b:1<text>: <nothing>}}"},
		{"comments", "# one\na: b # two\n# three\n", "{a<text>: b<text>}"},
		{"document header", "---\na: b\n...\n", "{a<text>: b<text>}"},
		{"byte order mark", byteOrderMark + "a: b\n", "{a<text>: b<text>}"},
		{"carriage returns", "a: b\r\nc:\r\n  - d\r\n", "{a<text>: b<text>, c<text>: [d<text>]}"},
		{"literal block", "a: |\n  b\n   c\n", "{a<text>: b\n c\n<quoted text>}"},
		{"escapes", `a: "\t\n\\\"\x41é"`, "{a<text>: \t\n\\\"Aé<quoted text>}"},
		{"no new line at the end", "a: b", "{a<text>: b<text>}"},
		{"quoted number", `a: "1"`, "{a<text>: 1<quoted text>}"},
		{"repeated key", "a: b\na: c\n", "{a<text>: b<text>, a<text>: c<text>}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := readYAML([]byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Replace(n.String(), "null<nothing>", "<nothing>", 1)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
