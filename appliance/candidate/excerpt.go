package candidate

import "slices"

// Excerpt gives, in YAML, what config.Amend needs of a document that says the
// same as another one but for some of its services: all but the services that
// both say in the same way. It is not ok when anything else is different, or
// services came or went.
func (d *Document) Excerpt(other *Document) (yaml []byte, ok bool) {
	services, theirs := d.root.child("services"), other.root.child("services")
	if services == nil || theirs == nil || len(services.children) == 0 || !slices.EqualFunc(services.children, theirs.children, sameName) {
		return nil, false
	}
	alike := slices.EqualFunc(d.root.children, other.root.children, func(a, b *node) bool {
		return a == services && b == theirs || a.equal(b)
	})
	if !alike {
		return nil, false
	}
	edited := services.copy()
	edited.children = nil
	for i, service := range services.children {
		if !service.equal(theirs.children[i]) {
			edited.children = append(edited.children, service)
		}
	}
	if len(edited.children) == 0 {
		edited.children = services.children[:1:1] // without any it would be another configuration
	}
	root := d.root.copy()
	root.swap(services, edited)
	w := writer{View: View{Secrets: true}, kept: true}
	w.node(root)
	return w.Bytes(), true
}

func sameName(a, b *node) bool { return a.name == b.name }
