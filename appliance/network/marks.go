package network

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Marks live in an nftables table of their own: one map for each family from
// address, protocol and port to the mark, and one rule for each map before
// routing and for the machine's own packets. A lookup costs the same for one
// range and for thousands (nft_set_pipapo.c).
const markTableName = "dipper_marks"

// markEdits is how many elements one transaction changes: the kernel takes
// attributes of up to 64 KiB.
const markEdits = 256

func markTable() *nftables.Table {
	return &nftables.Table{Name: markTableName, Family: nftables.TableFamilyINet}
}

// markChains are where packets get their marks: ahead of IPVS, which looks at
// them when they are about to be delivered (NF_IP_PRI_NAT_SRC and later) and,
// for the machine's own, right behind NF_IP_PRI_NAT_DST.
func markChains() []*nftables.Chain {
	return []*nftables.Chain{
		{Name: "prerouting", Table: markTable(), Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle},
		{Name: "output", Table: markTable(), Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityMangle},
	}
}

// markFamily is what differs between the families of addresses.
type markFamily struct {
	name     string // of the map
	keyword  string // of nft
	nfproto  byte
	address  nftables.SetDatatype
	offset   uint32 // of the destination in the IP header
	size     uint32 // of an address
	protocol uint32 // register behind the address, of 4 bytes
}

func markFamilies() [2]markFamily {
	return [2]markFamily{
		{"ipv4", "ip", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 16, 4, unix.NFT_REG32_01},
		{"ipv6", "ip6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 24, 16, unix.NFT_REG32_04},
	}
}

func markFamilyOf(a netip.Addr) markFamily {
	if a.Is4() {
		return markFamilies()[0]
	}
	return markFamilies()[1]
}

// set is the map. The library cannot tell nft that the marks are in the
// machine's byte order (NFTNL_UDATA_SET_DATABYTEORDER), so that nft lists them
// swapped; the comment says so to who looks.
func (f markFamily) set() *nftables.Set {
	return &nftables.Set{
		Table: markTable(), Name: f.name, IsMap: true, Interval: true, Concatenation: true,
		KeyType:  nftables.MustConcatSetType(f.address, nftables.TypeInetProto, nftables.TypeInetService),
		DataType: nftables.TypeMark,
		Comment:  "nft lists these marks with their bytes in reverse order",
	}
}

// expressions look a packet's destination up and set the mark that is found;
// without one, the packet keeps what it has.
func (f markFamily) expressions() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{f.nfproto}},
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: f.offset, Len: f.size, DestRegister: unix.NFT_REG_1},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: f.protocol},
		// Where the protocol has no ports, these bytes match any port.
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: f.protocol + 1},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, IsDestRegSet: true, SetName: f.name},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: unix.NFT_REG_1},
	}
}

// observeMarks lists the marks, and says whether the table is complete.
func observeMarks() (marks []Mark, complete bool, err error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, false, fmt.Errorf("nftables: %w", err)
	}
	for _, chain := range markChains() {
		rules, err := conn.GetRules(markTable(), chain)
		switch {
		case withoutTable(err):
			return nil, false, nil
		case err != nil:
			return nil, false, fmt.Errorf("nftables: rules of %s: %w", markTableName, err)
		case !slices.Equal(comments(rules), []string{"ipv4", "ipv6"}):
			return nil, false, nil
		}
	}
	for _, family := range markFamilies() {
		elements, err := conn.GetSetElements(family.set())
		switch {
		case withoutTable(err):
			return nil, false, nil
		case err != nil:
			return nil, false, fmt.Errorf("nftables: map %s of %s: %w", family.name, markTableName, err)
		}
		for _, element := range elements {
			if mark, ok := family.parse(element); ok {
				marks = append(marks, mark)
			}
		}
	}
	return marks, true, nil
}

// withoutTable holds for the answers of a kernel that has no such table, or no
// nftables at all.
func withoutTable(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EINVAL)
}

func comments(rules []*nftables.Rule) []string {
	var all []string
	for _, r := range rules {
		comment, _ := userdata.GetString(r.UserData, userdata.TypeComment) // "" is none of ours
		all = append(all, comment)
	}
	return all
}

// element is the mark as an element of its map: the key's fields are padded to
// 4 bytes each, and a range ends at KeyEnd.
func (m Mark) element() nftables.SetElement {
	key := func(a netip.Addr, port uint16) []byte {
		bytes := append(a.AsSlice(), m.Protocol, 0, 0, 0)
		return append(binary.BigEndian.AppendUint16(bytes, port), 0, 0)
	}
	return nftables.SetElement{
		Key: key(m.Prefix.Addr(), m.First), KeyEnd: key(lastOf(m.Prefix), m.Last),
		Val: binaryutil.NativeEndian.PutUint32(m.Mark),
	}
}

// lastOf is the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes) // as long as it was
	return last
}

// parse is the inverse of element; an element that is no mark of ours is not
// ok: it is left alone.
func (f markFamily) parse(e nftables.SetElement) (Mark, bool) {
	size := int(f.size)
	if len(e.Key) != size+8 || len(e.Val) != 4 {
		return Mark{}, false
	}
	if len(e.KeyEnd) == 0 {
		e.KeyEnd = e.Key
	}
	first, _ := netip.AddrFromSlice(e.Key[:size])
	last, _ := netip.AddrFromSlice(e.KeyEnd[:size])
	m := Mark{
		Protocol: e.Key[size], First: binary.BigEndian.Uint16(e.Key[size+4:]), Last: binary.BigEndian.Uint16(e.KeyEnd[size+4:]),
		Mark: binaryutil.NativeEndian.Uint32(e.Val),
	}
	for bits := 0; bits <= first.BitLen(); bits++ {
		if m.Prefix = netip.PrefixFrom(first, bits); m.Prefix == m.Prefix.Masked() && lastOf(m.Prefix) == last {
			return m, true
		}
	}
	return Mark{}, false
}

// key is the mark without its value: an element of a map.
func (m Mark) key() Mark {
	m.Mark = 0
	return m
}

func (m Mark) compare(other Mark) int {
	return cmp.Or(cmp.Compare(m.Prefix.Addr().BitLen(), other.Prefix.Addr().BitLen()), m.Prefix.Addr().Compare(other.Prefix.Addr()),
		cmp.Compare(m.Prefix.Bits(), other.Prefix.Bits()), cmp.Compare(m.Protocol, other.Protocol), cmp.Compare(m.First, other.First), cmp.Compare(m.Last, other.Last))
}

// markPlan is what must happen to the maps.
type markPlan struct {
	set    []Op // marks that come or change, and those that are in their way
	remove []Op // marks that go
}

// planMarks compares marks. Those that go do so when what is to take their
// packets is there, unless they are in the way of others.
func planMarks(observed, desired State) markPlan {
	have, want := marksByKey(observed.Marks), marksByKey(desired.Marks)
	var p markPlan
	switch {
	case len(desired.Marks) == 0 && observed.MarkTable:
		return markPlan{remove: []Op{deleteMarkTable{}}}
	case len(desired.Marks) == 0:
		return markPlan{}
	case !observed.MarkTable:
		p.set, have = []Op{addMarkTable{}}, nil
	}
	for _, family := range markFamilies() {
		var come []Mark
		for _, key := range sortedMarks(want, family) {
			if before, held := have[key]; !held || before != want[key] {
				come = append(come, want[key])
			}
		}
		var set, remove []markEdit
		for _, key := range sortedMarks(have, family) {
			now, wanted := want[key]
			switch edit := (markEdit{remove: true, Mark: have[key]}); {
			case wanted && now == have[key]:
			case slices.ContainsFunc(come, have[key].overlaps):
				set = append(set, edit)
			default:
				remove = append(remove, edit)
			}
		}
		for _, m := range come {
			set = append(set, markEdit{Mark: m})
		}
		p.set = append(p.set, editsOf(family, set)...)
		p.remove = append(p.remove, editsOf(family, remove)...)
	}
	return p
}

// overlaps tells whether two marks want the same packets: a map holds one of
// them.
func (m Mark) overlaps(other Mark) bool {
	return m.Protocol == other.Protocol && m.First <= other.Last && other.First <= m.Last && m.Prefix.Overlaps(other.Prefix)
}

func marksByKey(marks []Mark) map[Mark]Mark {
	byKey := make(map[Mark]Mark, len(marks))
	for _, m := range marks {
		byKey[m.key()] = m
	}
	return byKey
}

func sortedMarks(marks map[Mark]Mark, family markFamily) []Mark {
	var keys []Mark
	for key := range marks {
		if markFamilyOf(key.Prefix.Addr()).name == family.name {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, Mark.compare)
	return keys
}

// markEdit is one element that comes or goes.
type markEdit struct {
	remove bool
	Mark
}

// editsOf makes transactions of edits. A mark that changes goes and comes in
// one where there is room, so that no packet is without.
func editsOf(family markFamily, edits []markEdit) []Op {
	if len(edits) <= markEdits {
		if len(edits) == 0 {
			return nil
		}
		return []Op{editMarks{family, edits}}
	}
	var ops []Op
	for chunk := range slices.Chunk(edits, markEdits) {
		ops = append(ops, editMarks{family, chunk})
	}
	return ops
}

// editMarks is the Op that changes elements of a map in one transaction.
type editMarks struct {
	family markFamily
	edits  []markEdit
}

func (o editMarks) String() string {
	var remove, add []string
	for _, e := range o.edits {
		if e.remove {
			remove = append(remove, e.keyText())
		} else {
			add = append(add, fmt.Sprintf("%s : %#x", e.keyText(), e.Mark.Mark))
		}
	}
	var commands []string
	for _, c := range []struct {
		verb     string
		elements []string
	}{{"delete", remove}, {"add", add}} {
		if len(c.elements) > 0 {
			commands = append(commands, fmt.Sprintf("%s element inet %s %s { %s }", c.verb, markTableName, o.family.name, strings.Join(c.elements, ", ")))
		}
	}
	return "nft '" + strings.Join(commands, "; ") + "'"
}

// keyText is an element's key as nft writes it.
func (m Mark) keyText() string {
	address := m.Prefix.String()
	if m.Prefix.IsSingleIP() {
		address = m.Prefix.Addr().String()
	}
	port := fmt.Sprint(m.First)
	if m.First != m.Last {
		port += fmt.Sprintf("-%d", m.Last)
	}
	return fmt.Sprintf("%s . %d . %s", address, m.Protocol, port)
}

func (o editMarks) subject() string { return "" }

func (o editMarks) apply(*Kernel) error {
	return transaction(func(conn *nftables.Conn) error {
		var remove, add []nftables.SetElement
		for _, e := range o.edits {
			if e.remove {
				remove = append(remove, e.element())
			} else {
				add = append(add, e.element())
			}
		}
		set := o.family.set()
		if len(remove) > 0 {
			if err := conn.SetDeleteElements(set, remove); err != nil {
				return err
			}
		}
		if len(add) == 0 {
			return nil
		}
		return conn.SetAddElements(set, add)
	})
}

// addMarkTable is the Op that makes the table with empty maps, in place of one
// that is not whole.
type addMarkTable struct{}

func (addMarkTable) String() string {
	commands := []string{"add table inet " + markTableName, "delete table inet " + markTableName, "add table inet " + markTableName}
	for _, f := range markFamilies() {
		commands = append(commands, fmt.Sprintf("add map inet %s %s { type %s_addr . inet_proto . inet_service : mark; flags interval; }", markTableName, f.name, f.name))
	}
	for _, c := range markChains() {
		commands = append(commands, fmt.Sprintf("add chain inet %s %s { type filter hook %s priority mangle; }", markTableName, c.Name, c.Name))
		for _, f := range markFamilies() {
			commands = append(commands, fmt.Sprintf("add rule inet %s %s meta mark set %s daddr . meta l4proto . th dport map @%s", markTableName, c.Name, f.keyword, f.name))
		}
	}
	return "nft '" + strings.Join(commands, "; ") + "'"
}

func (addMarkTable) subject() string { return "" }

func (addMarkTable) apply(*Kernel) error {
	return transaction(func(conn *nftables.Conn) error {
		conn.AddTable(markTable())
		conn.DelTable(markTable())
		conn.AddTable(markTable())
		for _, f := range markFamilies() {
			if err := conn.AddSet(f.set(), nil); err != nil {
				return err
			}
		}
		for _, chain := range markChains() {
			conn.AddChain(chain)
			for _, f := range markFamilies() {
				conn.AddRule(&nftables.Rule{
					Table: markTable(), Chain: chain, Exprs: f.expressions(),
					UserData: userdata.AppendString(nil, userdata.TypeComment, f.name),
				})
			}
		}
		return nil
	})
}

// deleteMarkTable is the Op that deletes the table with the last marks, so
// that no packet is looked up in vain.
type deleteMarkTable struct{}

func (deleteMarkTable) String() string  { return "nft delete table inet " + markTableName }
func (deleteMarkTable) subject() string { return "" }
func (deleteMarkTable) apply(*Kernel) error {
	return transaction(func(conn *nftables.Conn) error {
		conn.DelTable(markTable())
		return nil
	})
}
