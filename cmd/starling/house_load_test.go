package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// modulePath is what the import path of every package of the project begins with.
const modulePath = "starling"

// A pkg is one package of the project, or a fixture that stands for one.
type pkg struct {
	path    string   // relative to the module: "node/model"
	imports []string // of all files that are not tests, whatever their build tags
	deps    []string // transitive, of this platform
	fset    *token.FileSet
	files   []*ast.File // compiled on this platform
	others  []*ast.File // of other platforms: syntax only
	types   *types.Package
	info    *types.Info
}

// everyFile returns the files of all platforms.
func (p *pkg) everyFile() []*ast.File {
	return append(p.files[:len(p.files):len(p.files)], p.others...)
}

func (p *pkg) at(n ast.Node) token.Position { return p.fset.Position(n.Pos()) }

// A problem is one violation of a rule.
type problem struct {
	at  token.Position
	why string
}

func (p problem) String() string {
	name := p.at.Filename
	if root, err := moduleRoot(); err == nil {
		if rel, err := filepath.Rel(root, name); err == nil && !strings.HasPrefix(rel, "..") {
			name = filepath.ToSlash(rel)
		}
	}
	if p.at.Line == 0 {
		return name + ": " + p.why
	}
	return fmt.Sprintf("%s:%d: %s", name, p.at.Line, p.why)
}

// moduleRoot returns the directory of go.mod; tests run in the directory of their package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Export           string
	GoFiles, CgoFiles, IgnoredGoFiles []string
	Deps                              []string
	Standard                          bool
	Error                             *struct{ Err string }
}

// list runs go list -export -deps, which compiles what is not in the build cache.
func list(patterns ...string) ([]listed, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	args := append([]string{
		"list", "-e", "-export", "-deps",
		"-json=ImportPath,Dir,Export,GoFiles,CgoFiles,IgnoredGoFiles,Deps,Standard,Error",
	}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, l)
	}
}

// exports returns an importer of compiled packages, which is a hundred times faster than type-checking sources.
func exports(fset *token.FileSet, all []listed) types.Importer {
	files := map[string]string{}
	for _, l := range all {
		files[l.ImportPath] = l.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, fmt.Errorf("%s is not compiled", path)
		}
		return os.Open(files[path])
	})
}

// house loads the whole project once for all tests.
var house = sync.OnceValues(func() ([]*pkg, error) {
	all, err := list("./...")
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	imp := exports(fset, all)
	var pkgs []*pkg
	for _, l := range all {
		if l.Standard || l.ImportPath != modulePath && !strings.HasPrefix(l.ImportPath, modulePath+"/") {
			continue
		}
		if len(l.GoFiles)+len(l.CgoFiles)+len(l.IgnoredGoFiles) == 0 {
			continue // tests only
		}
		if l.Error != nil {
			return nil, fmt.Errorf("%s: %s", l.ImportPath, l.Error.Err)
		}
		p := &pkg{path: strings.TrimPrefix(l.ImportPath, modulePath+"/"), deps: l.Deps, fset: fset}
		parse := func(names []string) ([]*ast.File, error) {
			var files []*ast.File
			for _, name := range names {
				if strings.HasSuffix(name, "_test.go") {
					continue
				}
				f, err := parser.ParseFile(fset, filepath.Join(l.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
				if err != nil {
					return nil, err
				}
				files = append(files, f)
			}
			return files, nil
		}
		if p.files, err = parse(append(l.GoFiles, l.CgoFiles...)); err != nil {
			return nil, err
		}
		if p.others, err = parse(l.IgnoredGoFiles); err != nil {
			return nil, err
		}
		if err := p.check(l.ImportPath, imp); err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
	return pkgs, nil
})

// check fills in imports and types.
func (p *pkg) check(path string, imp types.Importer) error {
	for _, f := range p.everyFile() {
		for _, spec := range f.Imports {
			p.imports = append(p.imports, strings.Trim(spec.Path.Value, `"`))
		}
	}
	p.info = &types.Info{
		Types:      map[ast.Expr]types.TypeAndValue{},
		Defs:       map[*ast.Ident]types.Object{},
		Uses:       map[*ast.Ident]types.Object{},
		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
	var err error
	p.types, err = (&types.Config{Importer: imp}).Check(path, p.fset, p.files, p.info)
	return err
}

// project returns the packages whose path one of patterns matches, all if there is none.
func project(t *testing.T, patterns ...string) []*pkg {
	t.Helper()
	all, err := house()
	if err != nil {
		t.Fatal(err)
	}
	if len(patterns) == 0 {
		return all
	}
	var some []*pkg
	for _, p := range all {
		if matchAny(patterns, p.path) {
			some = append(some, p)
		}
	}
	if len(some) == 0 {
		t.Fatalf("no package matches %v", patterns)
	}
	return some
}

func report(t *testing.T, problems []problem) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// match reports whether pattern names path: itself, or with "/..." at its end also what is below it.
func match(pattern, path string) bool {
	parent, below := strings.CutSuffix(pattern, "/...")
	return path == parent || below && strings.HasPrefix(path, parent+"/")
}

func matchAny(patterns []string, path string) bool {
	for _, p := range patterns {
		if match(p, path) {
			return true
		}
	}
	return false
}
