package ipvs

import (
	"encoding/binary"
	"fmt"
)

// Netlink attributes: a header of length and type, the value, and padding up
// to a multiple of four bytes (uapi/linux/netlink.h, struct nlattr). They are
// appended to a buffer that the caller owns, and read where they lie: a table
// of ten thousand real servers holds half a million of them.

const (
	attributeHeader = 4
	attributeNested = 1 << 15 // NLA_F_NESTED
	attributeType   = 1<<14 - 1
)

// align rounds a length up to where the next attribute or message starts.
func align(length int) int { return (length + 3) &^ 3 }

func appendHeader(b []byte, attribute uint16, length int) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attributeHeader+length))
	return binary.NativeEndian.AppendUint16(b, attribute)
}

func appendPadding(b []byte, length int) []byte {
	for range align(length) - length {
		b = append(b, 0)
	}
	return b
}

func appendBytes(b []byte, attribute uint16, value []byte) []byte {
	b = append(appendHeader(b, attribute, len(value)), value...)
	return appendPadding(b, len(value))
}

// appendString ends value with the zero byte that the kernel wants.
func appendString(b []byte, attribute uint16, value string) []byte {
	b = append(appendHeader(b, attribute, len(value)+1), value...)
	return appendPadding(append(b, 0), len(value)+1)
}

func appendUint8(b []byte, attribute uint16, value uint8) []byte {
	return append(appendHeader(b, attribute, 1), value, 0, 0, 0)
}

func appendUint16(b []byte, attribute, value uint16) []byte {
	b = binary.NativeEndian.AppendUint16(appendHeader(b, attribute, 2), value)
	return append(b, 0, 0)
}

// appendPort appends a port in the network's order.
func appendPort(b []byte, attribute, port uint16) []byte {
	b = binary.BigEndian.AppendUint16(appendHeader(b, attribute, 2), port)
	return append(b, 0, 0)
}

func appendUint32(b []byte, attribute uint16, value uint32) []byte {
	return binary.NativeEndian.AppendUint32(appendHeader(b, attribute, 4), value)
}

// beginNested appends the header of an attribute that holds attributes;
// endNested, given the buffer's length before it, says how many bytes they took.
func beginNested(b []byte, attribute uint16) []byte {
	return appendHeader(b, attribute|attributeNested, 0)
}

func endNested(b []byte, start int) {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
}

// eachAttribute calls read with the type and the value of each attribute in b,
// until one fails. The values are parts of b.
func eachAttribute(b []byte, read func(attribute uint16, value []byte) error) error {
	for len(b) >= attributeHeader {
		length := int(binary.NativeEndian.Uint16(b))
		attribute := binary.NativeEndian.Uint16(b[2:]) & attributeType
		if length < attributeHeader || length > len(b) {
			return fmt.Errorf("attribute %d of %d bytes where %d are left", attribute, length, len(b))
		}
		if err := read(attribute, b[attributeHeader:length]); err != nil {
			return fmt.Errorf("attribute %d: %w", attribute, err)
		}
		b = b[min(align(length), len(b)):]
	}
	if len(b) > 0 {
		return fmt.Errorf("%d bytes after the last attribute", len(b))
	}
	return nil
}

// errLength tells that a value has another length than its type.
func errLength(value []byte, expected int) error {
	return fmt.Errorf("%d bytes, expected %d", len(value), expected)
}

func readUint8(value []byte, into *uint8) error {
	if len(value) != 1 {
		return errLength(value, 1)
	}
	*into = value[0]
	return nil
}

func readUint16(value []byte, into *uint16) error {
	if len(value) != 2 {
		return errLength(value, 2)
	}
	*into = binary.NativeEndian.Uint16(value)
	return nil
}

// readPort reads a port in the network's order.
func readPort(value []byte, into *uint16) error {
	if len(value) != 2 {
		return errLength(value, 2)
	}
	*into = binary.BigEndian.Uint16(value)
	return nil
}

func readUint32(value []byte, into *uint32) error {
	if len(value) != 4 {
		return errLength(value, 4)
	}
	*into = binary.NativeEndian.Uint32(value)
	return nil
}

func readUint64(value []byte, into *uint64) error {
	if len(value) != 8 {
		return errLength(value, 8)
	}
	*into = binary.NativeEndian.Uint64(value)
	return nil
}

// text returns a string without the zero byte that ends it.
func text(value []byte) string {
	if n := len(value); n > 0 && value[n-1] == 0 {
		value = value[:n-1]
	}
	return string(value)
}
