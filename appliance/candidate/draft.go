package candidate

// draft is an edit that is being made. Nodes that it has made it may change;
// all others may be part of other documents, and are copied before that.
type draft struct {
	Document // as it is so far
	made     map[*node]bool
}

// change carries out an edit: as a whole or, with an error, not at all.
func (d *Document) change(edit func(*draft) error) error {
	e := &draft{*d, make(map[*node]bool)}
	if err := edit(e); err != nil {
		return err
	}
	d.root = e.root
	return nil
}

// ownRoot gives the root, to be changed.
func (e *draft) ownRoot() *node {
	if !e.made[e.root] {
		e.root = e.root.copy()
		e.made[e.root] = true
	}
	return e.root
}

// own gives a child of a node that may be changed, to be changed as well.
func (e *draft) own(parent, child *node) *node {
	if e.made[child] {
		return child
	}
	mine := child.copy()
	e.made[mine] = true
	parent.swap(child, mine)
	return mine
}

// ownPath gives the last node of a path from the root, to be changed.
func (e *draft) ownPath(path []*node) *node {
	n := e.ownRoot()
	for _, child := range path[1:] {
		n = e.own(n, child)
	}
	return n
}

// settle ends what may be changed: for when a node has two places.
func (e *draft) settle() { clear(e.made) }
