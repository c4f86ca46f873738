/* Directed graphs and their strongly connected components, in time linear in edges (Tarjan 1972), without recursion. */

export class Graph {
  readonly nodes: number;
  readonly #next: number[][] = [];

  constructor(nodes: number) {
    this.nodes = nodes;
  }

  add(from: number, to: number): void {
    const next = this.#next[from];
    if (next) next.push(to);
    else this.#next[from] = [to];
  }

  next(node: number): readonly number[] {
    return this.#next[node] ?? [];
  }
}

/** Components of more than one node: where there is a cycle. */
export function components(graph: Graph): number[][] {
  const found: number[][] = [];
  const order = new Int32Array(graph.nodes);
  const low = new Int32Array(graph.nodes);
  const place = new Int32Array(graph.nodes);
  const open: number[] = [];
  const isOpen = new Uint8Array(graph.nodes);
  let visited = 0;
  for (let root = 0; root < graph.nodes; ++root) {
    if (order[root] !== 0) continue;
    const path = [root];
    while (path.length > 0) {
      const node = path[path.length - 1] as number;
      if (order[node] === 0) {
        ++visited;
        order[node] = visited;
        low[node] = visited;
        open.push(node);
        isOpen[node] = 1;
      }
      const next = graph.next(node)[place[node]++ as number];
      if (next !== undefined) {
        if (order[next] === 0) path.push(next);
        else if (isOpen[next]) low[node] = Math.min(low[node] as number, order[next] as number);
        continue;
      }
      path.pop();
      const parent = path[path.length - 1];
      if (parent !== undefined) low[parent] = Math.min(low[parent] as number, low[node] as number);
      if (low[node] !== order[node]) continue;
      const component = open.splice(open.lastIndexOf(node));
      for (const member of component) isOpen[member] = 0;
      if (component.length > 1) found.push(component);
    }
  }
  return found;
}
