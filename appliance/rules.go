package appliance

import (
	"bytes"
	"context"
	"strings"

	"dipper/appliance/config"
	"dipper/appliance/director"
	"dipper/appliance/ipvs"
	"dipper/appliance/ipvsadm"
)

// rules are edits of the table as ipvsadm -R reads them. They are kept in place
// of the text of what the edits made, which for a large table takes much longer
// than they do.
type rules struct {
	text []byte
	// apart: they come to the same only when they are carried out by
	// themselves. What comes gets its name, and what no table holds, from
	// what is there; edits of what is there can be carried out together.
	apart bool
	work  int // services and real servers that are looked at to carry them out
}

// nextRules stands between rules that are carried out one after the other. To
// ipvsadm it is a comment.
const nextRules = "# then\n"

// Bounds of the rules that are kept behind a text until it is made anew.
const (
	maxRulesKept = 8 << 20 // bytes
	// maxRulesWork is a second of a restart: for 1.7 million, 810 edits among
	// 1,000 services of 10 real servers, 0.64 s of a processor were measured.
	maxRulesWork = 3_000_000
)

// rulesOf writes one edit of the table of a configuration as rules, unless
// ipvsadm has no words for it.
func rulesOf(ops []ipvs.Op, cfg *config.Config) (rules, bool) {
	var b bytes.Buffer
	typed := rules{work: len(cfg.Services)}
	all := false
	for i := range ops {
		op := &ops[i]
		if !ipvsadm.Says(op) {
			return rules{}, false
		}
		typed.apart = typed.apart || op.Kind != ipvs.EditService && op.Kind != ipvs.EditRealServer
		all = all || op.Kind == ipvs.AddService || op.Kind == ipvs.DeleteService
		b.WriteString(strings.TrimPrefix(op.String(), "ipvsadm "))
		b.WriteByte('\n')
	}
	if all {
		typed.work = tableLines(cfg)
	}
	typed.text = b.Bytes()
	return typed, true
}

// behind are rules that follow others, which say how much they are with them.
func (r rules) behind(others rules) rules {
	if r.apart || others.apart {
		return rules{append([]byte(nextRules), r.text...), r.apart, others.work + r.work}
	}
	return rules{r.text, r.apart, max(others.work, r.work)}
}

// withRules is cfg with rules that were typed since it was written.
func withRules(cfg *config.Config, typed []byte) (*config.Config, error) {
	var made director.Sequence
	for part := range bytes.SplitSeq(typed, []byte(nextRules)) {
		editor := ipvsadm.NewEditor(ipvsadm.State{Table: made.Table(cfg)})
		err := editor.Restore(bytes.NewReader(part), &hostNames{ctx: context.Background()})
		if err != nil {
			return nil, err
		}
		if cfg, err = made.Adopt(cfg, editor.State().Table); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}
