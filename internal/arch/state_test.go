package arch

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// state is what a package may keep between calls in a variable of its own.
var state = map[string][]string{
	"gpu": {"registry"},
}

// TestState refuses package-level variables that can change: ones declared
// without a value (embedded files excepted), ones that hold a lock, and ones that
// are assigned to or whose address is taken. It goes by names within a package,
// which errs on the strict side: a local of the same name counts as the global
// unless its function declares it with := or as a parameter.
func TestState(t *testing.T) {
	for _, p := range load(t) {
		vars := map[string]bool{}
		for _, f := range p.files {
			for _, d := range f.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					declare(t, p.name, g, vars)
				}
			}
		}
		for _, name := range state[p.name] {
			delete(vars, name)
		}
		for _, f := range p.files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				shared := maps.Clone(vars)
				for name := range locals(fn) {
					delete(shared, name)
				}
				for _, name := range changed(fn.Body) {
					if shared[name] {
						t.Errorf("%s: func %s changes the package-level %s; keep state in a value", p.name, fn.Name.Name, name)
					}
				}
			}
		}
	}
}

// declare adds the variables of g to vars and refuses those that are state by
// their declaration.
func declare(t *testing.T, pkg string, g *ast.GenDecl, vars map[string]bool) {
	for _, s := range g.Specs {
		v := s.(*ast.ValueSpec)
		embedded := strings.Contains(text(g.Doc)+text(v.Doc), "//go:embed")
		for _, id := range v.Names {
			if id.Name == "_" || slices.Contains(state[pkg], id.Name) {
				continue
			}
			vars[id.Name] = true
			if len(v.Values) == 0 && !embedded {
				t.Errorf("%s: package-level var %s has no value: it is there to change", pkg, id.Name)
			}
		}
		ast.Inspect(v, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok {
				return false // makes the value, is not part of it
			}
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := sel.X.(*ast.Ident)
			once := strings.HasPrefix(sel.Sel.Name, "Once") && sel.Sel.Name != "Once" // OnceValue(s), OnceFunc: a constant computed late
			if ok && (of.Name == "sync" && !once || of.Name == "atomic") && vars[v.Names[0].Name] {
				t.Errorf("%s: package-level var %s holds a %s.%s: it is there to change", pkg, v.Names[0].Name, of.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

// text is a comment group with its directives, which CommentGroup.Text drops.
func text(c *ast.CommentGroup) (s string) {
	if c != nil {
		for _, line := range c.List {
			s += line.Text + "\n"
		}
	}
	return s
}

// locals are the names that fn declares, in any scope of its own.
func locals(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok {
			names[id.Name] = true
		}
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				names[id.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				add(n.Key)
				add(n.Value)
			}
		}
		return true
	})
	return names
}

// changed are the names that body assigns to, in whole or in part, or takes the
// address of.
func changed(body ast.Node) (names []string) {
	hit := func(e ast.Expr) {
		if id := root(e); id != "" {
			names = append(names, id)
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					hit(e)
				}
			}
		case *ast.IncDecStmt:
			hit(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				hit(n.Key)
				hit(n.Value)
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				hit(n.X)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 {
				hit(n.Args[0])
			}
		}
		return true
	})
	return names
}

// root is the variable that e is or is part of, "" if none.
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}
