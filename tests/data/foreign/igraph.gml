Creator "igraph version 1.0.0 Wed Nov 25 10:46:19 2026"
Version 1
graph
[
  directed 0
  node
  [
    id 0
    igraphnxname "Oslo"
    name "Oslo"
  ]
  node
  [
    id 1
    igraphnxname "Bergen"
    name "Bergen"
  ]
  node
  [
    id 2
    igraphnxname "Voss"
    name "Voss"
  ]
  edge
  [
    source 1
    target 0
    weight 7.5
  ]
  edge
  [
    source 2
    target 0
    weight 3
  ]
  edge
  [
    source 2
    target 1
    weight 1.25
  ]
]
