package ipvsadm

import (
	"encoding/binary"
	"net/netip"

	"dipper/appliance/ipvs"
)

// ipvsadm sorts by the differences of numbers of 32 bits without a sign, which
// it takes for ones with a sign (libipvs.c, ipvs_cmp_services): 192.0.2.1 comes
// before 10.0.0.1, being more than 2^31 above it. That is no order: of three
// addresses each may come before the next in a circle, and what the listing
// then shows depends on how it is sorted. Its C library merges (qsort of glibc
// up to 2.36), so the same merging gives the same listing.

// sorter sorts one list after the other, in the same memory.
type sorter[E any] struct{ order, spare []*E }

// sort returns the elements as ipvsadm sorts them, until it sorts others.
func (s *sorter[E]) sort(elements []E, compare func(a, b *E) int32) []*E {
	order := s.inPlace(elements)
	if cap(s.spare) < len(order) {
		s.spare = make([]*E, len(order))
	}
	mergeSort(order, s.spare, compare)
	return order
}

// inPlace returns the elements in the order in which they are.
func (s *sorter[E]) inPlace(elements []E) []*E {
	s.order = s.order[:0]
	for i := range elements {
		s.order = append(s.order, &elements[i])
	}
	return s.order
}

// mergeSort sorts from the top down, the first half being the smaller one.
func mergeSort[E any](elements, spare []*E, compare func(a, b *E) int32) {
	if len(elements) <= 1 {
		return
	}
	half := len(elements) / 2
	a, b := elements[:half], elements[half:]
	mergeSort(a, spare, compare)
	mergeSort(b, spare, compare)
	merged := spare[:0]
	for len(a) > 0 && len(b) > 0 {
		if compare(a[0], b[0]) <= 0 {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	merged = append(merged, a...)
	copy(elements, merged) // what is left of b is in its place
}

// compareServices compares as ipvs_cmp_services does.
func compareServices(a, b *ipvs.ServiceStatistics) int32 {
	if d := int32(a.FWMark - b.FWMark); d != 0 {
		return d
	}
	if a.Address.Is6() != b.Address.Is6() {
		if b.Address.Is6() {
			return -1
		}
		return 1
	}
	if d := int32(a.Protocol) - int32(b.Protocol); d != 0 {
		return d
	}
	if a.FWMark == 0 {
		if d := compareAddresses(a.Address, b.Address); d != 0 {
			return d
		}
	}
	return int32(a.Port) - int32(b.Port)
}

// compareServers compares as ipvs_cmp_dests does, which looks at the family of
// the first one alone.
func compareServers(a, b *ipvs.RealServerStatistics) int32 {
	if d := compareAddresses(a.Address, b.Address); d != 0 {
		return d
	}
	return int32(a.Port) - int32(b.Port)
}

func compareAddresses(a, b netip.Addr) int32 {
	if a.Is4() {
		return int32(word(a) - word(b))
	}
	x, y := words4(a), words4(b)
	for i := range x {
		if d := int32(x[i] - y[i]); d != 0 {
			return d
		}
	}
	return 0
}

// word returns the first word of an address.
func word(a netip.Addr) uint32 {
	if a.Is4() {
		four := a.As4()
		return binary.BigEndian.Uint32(four[:])
	}
	return words4(a)[0]
}

// words4 returns an address as the kernel keeps it, in four words; one of IPv4
// is the first.
func words4(a netip.Addr) [4]uint32 {
	var b [16]byte
	if a.Is4() {
		four := a.As4()
		copy(b[:], four[:])
	} else {
		b = a.As16()
	}
	var words [4]uint32
	for i := range words {
		words[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return words
}
