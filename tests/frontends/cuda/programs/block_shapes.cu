// Blocks of every shape: lines, planes and warps that are not full, against loops over the threads.
#include <cstdio>
#include <cstdlib>
#include <vector>
__global__ void add(const float* a, float* b, int n){ int i = blockIdx.x*blockDim.x+threadIdx.x; if(i<n) b[i]=a[i]*2.f+1.f; }
__global__ void reduce(const int* a, int* out, int n){ extern __shared__ int s[]; int t=threadIdx.x; int i=blockIdx.x*blockDim.x+t;
 s[t]= i<n? a[i]:0; __syncthreads(); for(int k=1;k<blockDim.x;k*=2){ if(t%(2*k)==0 && t+k<blockDim.x) s[t]+=s[t+k]; __syncthreads();} if(t==0) atomicAdd(out,s[0]); }
__global__ void warpred(const int* a, int* out, int n){ int i=blockIdx.x*blockDim.x+threadIdx.x; int v=i<n?a[i]:0;
 unsigned m=__ballot_sync(0xffffffff, v>3); for(int o=16;o;o/=2) v+=__shfl_down_sync(0xffffffff,v,o); if(threadIdx.x%32==0){ atomicAdd(out,v); atomicAdd(out+1,__popc(m)); } }
__global__ void plane(int* o,int w,int h){ int x=blockIdx.x*blockDim.x+threadIdx.x,y=blockIdx.y*blockDim.y+threadIdx.y; if(x<w&&y<h) o[y*w+x]+=y*1000+x; }
__global__ void lin(int* o){ atomicAdd(&o[threadIdx.x],1); atomicAdd(&o[64], blockDim.y*blockDim.z); }
int bad=0;
#define CHECK(c) if(!(c)){ printf("FAIL line %d\n",__LINE__); bad=1; }
int main(int argc,char**v){ int n=1000; float*a,*b; int *ia,*o; cudaMallocManaged(&a,n*4); cudaMallocManaged(&b,n*4);cudaMallocManaged(&ia,n*4);cudaMallocManaged(&o,n*400);
 int sum=0,c=0; for(int i=0;i<n;i++)a[i]=i,ia[i]=rand()%10,sum+=ia[i],c+=ia[i]>3;
 int blocks[]={1,7,32,50,64,100,256,500,1024};
 for(int bs:blocks){ if(argc>5) bs++;
  for(int i=0;i<n;i++) b[i]=0; add<<<(n+bs-1)/bs,bs>>>(a,b,n); cudaDeviceSynchronize(); bool ok=true; for(int i=0;i<n;i++) ok&=b[i]==i*2.f+1; CHECK(ok);
  o[0]=o[1]=0; reduce<<<(n+bs-1)/bs,bs,bs*4>>>(ia,o,n); CHECK(cudaDeviceSynchronize()==cudaSuccess); CHECK(o[0]==sum);
  o[0]=o[1]=0; warpred<<<(n+bs-1)/bs,bs>>>(ia,o,n); cudaDeviceSynchronize(); CHECK(o[1]==c); if(bs%32==0) CHECK(o[0]==sum);
  }
 warpred<<<1,100>>>(ia,o,n); CHECK(cudaDeviceSynchronize()==cudaSuccess);
 for(int bx=1;bx<33;bx+=5) for(int by=1;by<=32;by*=3){ dim3 bl(bx,by); int w=90,h=77; for(int i=0;i<w*h;i++)o[i]=0; plane<<<dim3((w+bx-1)/bx,(h+by-1)/by),bl>>>(o,w,h); CHECK(cudaDeviceSynchronize()==cudaSuccess);
   bool ok=true; for(int i=0;i<w*h;i++) ok&=o[i]==(i/w)*1000+i%w; CHECK(ok);}
 for(int i=0;i<65;i++)o[i]=0; lin<<<1,dim3(5+(argc>3),3,2)>>>(o); cudaDeviceSynchronize(); CHECK(o[4]==6 && o[5]==0 && o[64]==180);
 if(!bad) printf("PASS\n"); return bad; }
