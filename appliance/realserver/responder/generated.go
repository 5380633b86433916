package responder

import (
	"fmt"
	"io"
)

// lineLength is the length of a line of generated text, its end included.
const lineLength = 16

// generated returns a text of size bytes whose every line is its own offset,
// so that a client can tell what is missing or doubled:
//
//	000000000000000
//	000000000000016
//	000000000000032
func generated(size int64) *io.SectionReader {
	return io.NewSectionReader(offsets{}, 0, size)
}

// offsets is the endless generated text.
type offsets struct{}

var _ io.ReaderAt = offsets{}

// ReadAt fills b with the text from off on.
func (offsets) ReadAt(b []byte, off int64) (int, error) {
	for n := 0; n < len(b); {
		at := off + int64(n)
		line := fmt.Appendf(nil, "%0*d\n", lineLength-1, at-at%lineLength)
		n += copy(b[n:], line[at%lineLength:])
	}
	return len(b), nil
}
