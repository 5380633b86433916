package network

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Clamps live in an nftables table of their own: a rule for each, which
// carries its clamp as a comment, so that it can be read back.
const (
	clampTableName = "dipper"
	clampChainName = "mss"
)

func clampTable() *nftables.Table {
	return &nftables.Table{Name: clampTableName, Family: nftables.TableFamilyINet}
}

func clampChain() *nftables.Chain {
	return &nftables.Chain{
		Name: clampChainName, Table: clampTable(), Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityMangle,
	}
}

// observeClamps lists the clamps of the table. A kernel without nftables has
// none.
func observeClamps() ([]MSSClamp, error) {
	rules, err := clampRules()
	if err != nil {
		return nil, err
	}
	var clamps []MSSClamp
	for _, r := range rules {
		comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
		var clamp MSSClamp
		if err := clamp.parse(comment); err != nil {
			// A rule that is not ours in our table: deleting it is not planned,
			// adding the missing ones is.
			continue
		}
		clamps = append(clamps, clamp)
	}
	return clamps, nil
}

func clampRules() ([]*nftables.Rule, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	rules, err := conn.GetRules(clampTable(), clampChain())
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL):
		return nil, nil // no such table, or no nftables at all
	case err != nil:
		return nil, fmt.Errorf("nftables: rules of %s: %w", clampTableName, err)
	}
	return rules, nil
}

// comment is the clamp as text, and parse its inverse.
func (c MSSClamp) comment() string { return fmt.Sprintf("%s %d", c.Source, c.MSS) }

func (c *MSSClamp) parse(comment string) error {
	var source string
	if _, err := fmt.Sscanf(comment, "%s %d", &source, &c.MSS); err != nil {
		return fmt.Errorf("clamp %q: %w", comment, err)
	}
	if err := c.Source.UnmarshalText([]byte(source)); err != nil {
		return fmt.Errorf("clamp %q: %w", comment, err)
	}
	return nil
}

func planClamps(observed, desired []MSSClamp) []Op {
	if len(desired) == 0 && len(observed) > 0 {
		return []Op{deleteClampTable{}}
	}
	var ops []Op
	for i, want := range desired {
		if !slices.Contains(observed, want) && !slices.Contains(desired[:i], want) {
			ops = append(ops, addClamp{want})
		}
	}
	for _, have := range observed {
		if !slices.Contains(desired, have) {
			ops = append(ops, deleteClamp{have})
		}
	}
	return ops
}

// addClamp is the Op that adds a clamp, and the table when it is the first.
type addClamp struct{ MSSClamp }

func (o addClamp) String() string {
	family := "ip"
	if o.Source.Is6() {
		family = "ip6"
	}
	return fmt.Sprintf("nft add rule inet %s %s %s saddr %s tcp flags syn tcp option maxseg size set %d",
		clampTableName, clampChainName, family, o.Source, o.MSS)
}

func (o addClamp) subject() string { return "" }

func (o addClamp) apply(*Kernel) error {
	return transaction(func(conn *nftables.Conn) error {
		// Adding what exists is no error.
		conn.AddTable(clampTable())
		conn.AddChain(clampChain())
		conn.AddRule(&nftables.Rule{
			Table: clampTable(), Chain: clampChain(), Exprs: o.expressions(),
			UserData: userdata.AppendString(nil, userdata.TypeComment, o.comment()),
		})
		return nil
	})
}

// tcpFlagSYN is the bit of the SYN flag in the 14th byte of the TCP header.
const tcpFlagSYN = 0x02

// expressions matches TCP segments with SYN from the source and writes the
// MSS option, which the kernel only ever lowers (nft_exthdr.c,
// nft_exthdr_tcp_set_eval).
func (o addClamp) expressions() []expr.Any {
	const register = 1
	family, offset := byte(unix.NFPROTO_IPV4), uint32(12) // of the source in the IP header
	if o.Source.Is6() {
		family, offset = unix.NFPROTO_IPV6, 8
	}
	source := o.Source.AsSlice()
	equals := func(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data} }
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register},
		equals([]byte{family}),
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(source)), DestRegister: register},
		equals(source),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		equals([]byte{unix.IPPROTO_TCP}),
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1, DestRegister: register},
		&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 1, Mask: []byte{tcpFlagSYN}, Xor: []byte{0}},
		equals([]byte{tcpFlagSYN}),
		&expr.Immediate{Register: register, Data: binaryutil.BigEndian.PutUint16(o.MSS)},
		&expr.Exthdr{SourceRegister: register, Type: unix.TCPOPT_MAXSEG, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt},
	}
}

// deleteClamp is the Op that deletes the rule of a clamp.
type deleteClamp struct{ MSSClamp }

func (o deleteClamp) String() string {
	return fmt.Sprintf("nft delete rule inet %s %s  # %s", clampTableName, clampChainName, o.comment())
}

func (o deleteClamp) subject() string { return "" }

func (o deleteClamp) apply(*Kernel) error {
	rules, err := clampRules()
	if err != nil {
		return err
	}
	return transaction(func(conn *nftables.Conn) error {
		var errs []error
		for _, r := range rules {
			if comment, _ := userdata.GetString(r.UserData, userdata.TypeComment); comment == o.comment() {
				errs = append(errs, conn.DelRule(r))
			}
		}
		return errors.Join(errs...)
	})
}

// deleteClampTable is the Op that deletes the table with the last clamps, so
// that no packet passes an empty chain.
type deleteClampTable struct{}

func (deleteClampTable) String() string  { return "nft delete table inet " + clampTableName }
func (deleteClampTable) subject() string { return "" }
func (deleteClampTable) apply(*Kernel) error {
	return transaction(func(conn *nftables.Conn) error {
		conn.DelTable(clampTable())
		return nil
	})
}

// transaction makes edits that the kernel takes all or none of.
func transaction(edit func(*nftables.Conn) error) error {
	conn, err := nftables.New()
	if err == nil {
		err = edit(conn)
	}
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}
