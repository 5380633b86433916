package machine

import (
	"context"
	"fmt"
	"strings"
	"unicode"
)

// TypedAtOnce is how many characters a PS/2 keyboard keeps until the guest has
// read them: 16 bytes (QEMU, hw/input/ps2.c), of which one with Shift takes 6.
// What is typed beyond that is lost.
const TypedAtOnce = 2

// qcodes are the keys of an American keyboard (QEMU QMP Reference, "QKeyCode")
// that are not named like what they type.
var qcodes = map[rune]string{
	'\r': "ret", '\n': "ret", '\t': "tab", '\b': "backspace", ' ': "spc",
	'-': "minus", '=': "equal", '[': "bracket_left", ']': "bracket_right", ';': "semicolon",
	'\'': "apostrophe", '`': "grave_accent", '\\': "backslash", ',': "comma", '.': "dot", '/': "slash",
}

// Type presses the keys of an American keyboard that write a text of ASCII, as
// somebody does who sits at the machine. At most TypedAtOnce characters.
func (m *Machine) Type(ctx context.Context, text string) error {
	var events []any
	for _, r := range text {
		pressed, err := keystroke(r)
		if err != nil {
			return fmt.Errorf("machine %s: %w", m.Name(), err)
		}
		events = append(events, pressed...)
	}
	return m.do(ctx, "input-send-event", map[string]any{"events": events})
}

// keystroke is one character's: Shift first where it takes that.
func keystroke(r rune) ([]any, error) {
	const shifted, plain = `~!@#$%^&*()_+{}|:"<>?`, "`1234567890-=[]\\;',./"
	shift := unicode.IsUpper(r)
	r = unicode.ToLower(r)
	if at := strings.IndexRune(shifted, r); at >= 0 {
		shift, r = true, rune(plain[at])
	}
	code, named := qcodes[r]
	switch {
	case named:
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		code = string(r)
	default:
		return nil, fmt.Errorf("no key types %q", r)
	}
	strokes := []any{keyEvent(code, true), keyEvent(code, false)}
	if shift {
		strokes = []any{keyEvent("shift", true), strokes[0], strokes[1], keyEvent("shift", false)}
	}
	return strokes, nil
}

// keyEvent is an InputEvent of QMP.
func keyEvent(code string, down bool) any {
	key := map[string]any{"type": "qcode", "data": code}
	return map[string]any{"type": "key", "data": map[string]any{"down": down, "key": key}}
}
