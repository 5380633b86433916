package bootconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// MaxSize is the most bytes that a boot config may have, packed or unpacked.
// It is what a configuration may have (appliance/config, MaxSize): one with
// 100,000 real servers has about 5 MB.
const MaxSize = 16 << 20

// errTooLarge says that a source holds more than MaxSize.
var errTooLarge = fmt.Errorf("larger than %d bytes, the most that a boot config may have", MaxSize)

// gzipMagic begins every gzip member (RFC 1952, section 2.3.1).
var gzipMagic = []byte{0x1f, 0x8b}

// unpack turns what a source holds into a boot config: gzip is recognised and
// unpacked, NUL padding is cut off. Blank bytes are an absentError.
func unpack(raw []byte) ([]byte, error) {
	data := raw
	if bytes.HasPrefix(raw, gzipMagic) {
		var err error
		if data, err = gunzip(raw); err != nil {
			return nil, err
		}
	}
	if len(data) > MaxSize {
		return nil, errTooLarge
	}
	data = bytes.TrimRight(data, "\x00")
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, absentError{"it is empty"}
	}
	return data, nil
}

func gunzip(raw []byte) ([]byte, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("unpack gzip: %w", err)
	}
	data, err := readBounded(unpacked, 0)
	if err != nil {
		return nil, fmt.Errorf("unpack gzip: %w", err)
	}
	return data, nil
}

// readBounded reads all of r, and fails beyond MaxSize. Size is the number of
// bytes that r says it has, or anything below 1.
func readBounded(r io.Reader, size int64) ([]byte, error) {
	if size > MaxSize {
		return nil, errTooLarge
	}
	known := size > 0
	if !known {
		// Room that is never written to takes no memory. A buffer that grows
		// is there three times over, for which a small machine has no room.
		size = MaxSize + 1
	}
	buffer := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := buffer.ReadFrom(io.LimitReader(r, MaxSize+1)); err != nil {
		return nil, err
	}
	if buffer.Len() > MaxSize {
		return nil, errTooLarge
	}
	if known {
		return buffer.Bytes(), nil
	}
	return bytes.Clone(buffer.Bytes()), nil
}

// decodeBase64 accepts the standard and the URL alphabet, padded or not, with
// white space anywhere, as base64(1) and its users produce them.
func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(strings.Join(strings.Fields(text), ""), "=")
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("decode base64: %w", err)
	}
	return data, nil
}
